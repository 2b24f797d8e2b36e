"""The driver of a sweep, started again whenever it ends before the sweep does."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

from slurm_sweep import Sweep, neq

PAUSE_SECONDS = 3.0
"""Between the end of a driver and the start of the next."""


class Drivers:
    """Keeps one driver going, two while an older one is stopped; their output goes into files beside the run.

    Parameters
    ----------
    sweep
        Config, profile and run folder.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.ends: Counter[str] = Counter()
        """How drivers ended, in their own words."""
        self.n_started = 0
        self.stopped: subprocess.Popen[str] | None = None
        self._woken = False
        self._running: dict[subprocess.Popen[str], Path] = {}
        self._next = 0.0
        self._killed: set[int] = set()

    @property
    def current(self) -> subprocess.Popen[str] | None:
        """The driver that is not stopped, None where none lives."""
        return next((one for one in self._running if one is not self.stopped), None)

    def keep(self) -> None:
        """Note the drivers that have ended; start another where none is left and cells are."""
        for process in [one for one in self._running if one.poll() is not None]:
            log = self._running.pop(process)
            self.ends["killed by us" if process.pid in self._killed else _last_words(log, process.returncode)] += 1
            if process is self.stopped or self._woken:
                # the one that was stopped has ended, or nobody has followed it and it goes on
                self.stopped, self._woken = None, False
            self._next = time.monotonic() + PAUSE_SECONDS
        if self.current is None and time.monotonic() > self._next and self.sweep.n_pending != 0:
            self._start()

    @property
    def all_ended(self) -> bool:
        """Whether no driver lives, not even a stopped one."""
        return not self._running

    def kill(self) -> int:
        """Kill the driver; return its process id."""
        process = self._living()
        self._killed.add(process.pid)
        process.kill()
        return process.pid

    def stop(self) -> int:
        """Stop the driver, for another to take over; return its process id."""
        process = self._living()
        process.send_signal(signal.SIGSTOP)
        self.stopped = process
        return process.pid

    def wake(self) -> None:
        """Let the stopped driver go on."""
        if self.stopped is None:
            return
        self.stopped.send_signal(signal.SIGCONT)
        if self.current is None:
            self.stopped = None
        else:
            self._woken = True

    def end(self) -> None:
        """End all drivers in good order."""
        for process in self._running:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()

    def _living(self) -> subprocess.Popen[str]:
        process = self.current
        if process is None:
            raise LookupError("no driver lives")
        return process

    def _start(self) -> None:
        self.n_started += 1
        log = self.sweep.folder / f"driver-{self.n_started}.log"
        words = ["run", str(self.sweep.folder / "sweep.yaml"), "--cluster", str(self.sweep.folder / "here.yaml")]
        with log.open("w") as file:
            self._running[neq(words, stdout=file, stderr=subprocess.STDOUT)] = log


def _last_words(log: Path, code: int) -> str:
    """Return the error that a driver ended with, without what differs from one to the next."""
    if code in (0, 1) and "cells:" in log.read_text():
        return "the sweep's own end"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("neq: ")]
    words = re.sub(r"/\S+/run", "the run", lines[-1].removeprefix("neq: ")) if lines else f"exit code {code}"
    return re.split(r"[:(]|\d+ on |\. ", words)[0].strip() + (" ..." if lines else "")
