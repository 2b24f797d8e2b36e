"""A run that is computed in a folder and kept at a URL: the copy, its lease, and the way back."""
