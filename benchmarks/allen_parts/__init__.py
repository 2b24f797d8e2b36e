"""The parts of a made-up Allen session: its stimulus blocks, its tables, columns of an NWB file."""
