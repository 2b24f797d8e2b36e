"""The stimulus blocks of a session, at the times documented for session 1065437523."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from .columns import replace_column

IMAGES, GREY = "Natural_Images_Lum_Matched_set_ophys_G_2019_presentations", "spontaneous_presentations"
FRAME = 1 / 60


@dataclass(frozen=True)
class Block:
    """One block: its table, start and stop (s), presentations of ``length`` every ``period`` (s); 0: one."""

    table: str
    start: float
    stop: float
    period: float = 0.0
    length: float = 0.0
    active: bool = False


BLOCKS = (
    Block(IMAGES, 28.0, 3648.0, 0.75, 0.25, active=True),
    Block(GREY, 3648.0, 3658.0),
    Block("gabor_20_deg_250ms_presentations", 3658.0, 4570.0, 0.25, 0.25),
    Block(GREY, 4570.0, 4859.0),
    Block("flash_250ms_presentations", 4859.0, 5183.0, 2.0, 0.25),
    Block(IMAGES, 5183.0, 8783.0, 0.75, 0.25),
)


def write_blocks(file: h5py.File, pace: float) -> None:
    """Give every table of presentations the rows of its blocks; what is not a time is repeated from what is there."""
    for name in {block.table for block in BLOCKS}:
        table = file["intervals"][name]
        parts = [_times(row, block, pace) for row, block in enumerate(BLOCKS) if block.table == name]
        made = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
        n = len(made["start_time"])
        made |= {column: np.arange(1, n + 1, dtype=np.uint32) for column in ("tags_index", "timeseries_index")}
        like = np.arange(n) % len(table["id"])
        for column in list(table):
            replace_column(table, column, made[column] if column in made else table[column][:][like])


def _times(row: int, block: Block, pace: float) -> dict[str, np.ndarray]:
    start, stop = block.start * pace, block.stop * pace
    starts = np.arange(start, stop - block.length / 2, block.period or stop - start)
    stops = starts + (block.length or stop - start)
    return {
        "start_time": starts,
        "stop_time": stops,
        "duration": stops - starts,
        "start_frame": np.round(starts / FRAME).astype(np.int64),
        "end_frame": np.round(stops / FRAME).astype(np.int64),
        "stimulus_block": np.full(len(starts), row),
        "active": np.full(len(starts), block.active),
        "id": np.arange(len(starts)) + row * 10_000,
    }
