"""The parts of the chaos run: its faults, its drivers, its verdict."""
