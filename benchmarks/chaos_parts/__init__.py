"""The parts of the chaos run: its faults, its drivers, its verdict."""

N_WORKER = 6
CELL_SECONDS = 1.0
