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


def test_byte_meter__rate_of_what_is_new_and_time_left(monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    out = io.StringIO()
    with progress.ByteMeter(Console(file=out, width=100), "fetch") as meter:
        for done, failed in [(2**30, 0), (2 * 2**30, 0), (3 * 2**30, 1)]:
            meter(done, 4 * 2**30, failed)
    first, second, third = out.getvalue().splitlines()
    assert first == "fetch: 1.0 GiB of 4.0 GiB"
    assert second == "fetch: 2.0 GiB of 4.0 GiB, 34.1 MiB/s, 1 min 0 s left"
    assert third == "fetch: 3.0 GiB of 4.0 GiB, 1 failed, 41.0 MiB/s, 25 s left"


def test_meter__bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    with progress.Meter(Console(file=out, force_terminal=True, width=100), "sweep") as meter:
        meter(5, 20, 1)
        meter(20, 20, 1)
    assert "━" in out.getvalue()
    assert "20/20 cells, 1 failed" in out.getvalue()
