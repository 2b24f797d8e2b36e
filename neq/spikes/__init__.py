"""Recordings, their binning, the choice of units, and transitions."""
