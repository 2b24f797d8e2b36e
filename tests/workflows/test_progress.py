"""Progress on a terminal and in a pipe."""

import io

from rich.console import Console

from workflows import progress


def lines(monkeypatch, calls, terminal=False):
    clock = iter(range(0, 10_000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    out = io.StringIO()
    with progress.Meter(Console(file=out, force_terminal=terminal, width=100), "sweep") as meter:
        for done, failed in calls:
            meter(done, 20, failed)
    return out.getvalue()


def test_meter__plain_lines_in_a_pipe_not_too_often(monkeypatch):
    text = lines(monkeypatch, [(done, 0) for done in range(21)])
    assert "\x1b" not in text
    assert 3 < len(text.splitlines()) < 15
    assert text.splitlines()[-1].startswith("sweep: 20/20 cells")


def test_meter__resumed_rate_counts_new_cells_only(monkeypatch):
    text = lines(monkeypatch, [(10, 1), (20, 2)])
    assert text.splitlines()[0].startswith("sweep: 10/20 cells, 1 failed")
    assert " left" not in text.splitlines()[0]
    assert "2 failed" in text.splitlines()[-1]


def test_meter__bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    with progress.Meter(Console(file=out, force_terminal=True, width=100), "sweep") as meter:
        meter(5, 20, 1)
        meter(20, 20, 1)
    assert "━" in out.getvalue()
    assert "20/20 cells, 1 failed" in out.getvalue()
