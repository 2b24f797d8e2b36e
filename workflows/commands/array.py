"""What `neq submit --array` does: a sweep as plain batch jobs, for sites where workers cannot reach a scheduler.

A job prepares, the tasks of an array compute, a last job reduces; where cells are left it begins the next round.
"""

from __future__ import annotations

import json
import os
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from cluster import ends, leaving, preload, script, slurm
from cluster.profile import Profile
from neq.errors import ConfigError, SweepError
from workflows import config as run_config
from workflows import layout, provenance, store, studies
from workflows.blocks import handout, owners, reset, stopping
from workflows.blocks.blame import Blame
from workflows.blocks.needs import Needs
from workflows.cluster_profile import told
from workflows.commands import array_ingest, array_round, job_ends, jobs, pipeline, prepare_sources, summary_text
from workflows.commands.jobs import Submission
from workflows.commands.submit import to_submit
from workflows.guard import EXIT_FAILED
from workflows.lease import Lease, acquire
from workflows.progress import say
from workflows.remote import catch_up
from workflows.run_folder import write_config
from workflows.staging import write_whole
from workflows.store import STORE_NAME, Store
from workflows.studies.base import Study

PREPARE, TASKS, FINISH = "prepare", "tasks", "finish"


def submit(config: Path, profile: str, overrides: Sequence[str], n_task: int | None, console: Console) -> None:
    """Submit a sweep as an array of tasks, with a job before and one after it.

    Raises
    ------
    neq.errors.LeaseHeldError
        A driver, or a job that was submitted earlier, works on the run folder or waits to.
    """
    if (found := to_submit(config, profile, overrides, console)) is None:
        return
    submission, folder = found
    if url := submission.loaded().url or catch_up.url_of(folder):
        raise ConfigError(
            f"No driver lives as long as an array, so none keeps the copy at {url}: submit without --array, or with "
            "--set results=FOLDER, and give `neq run` with the URL when the array has ended."
        )
    asked = submission.checked_profile()
    submission = replace(submission, tasks=n_task or asked.workers)
    with acquire(folder):
        jobs.write(folder, submission)
        first = jobs.submit(folder, jobs.driver_profile(asked), PREPARE, [PREPARE])
        try:
            begun = submit_round(folder, submission, 1, submission.tasks, [f"--dependency=afterok:{first}"])
        except SweepError:
            with told(SweepError):
                slurm.cancel([first])
            raise
        jobs.write(folder, replace(submission, jobs={PREPARE: first, **begun}))
    say(console, f"jobs {first} (prepares), {begun[TASKS]} ({submission.tasks} tasks), {begun[FINISH]} (reduces)")
    say(console, f"logs: {folder / jobs.FOLDER}; where cells are left, the last job begins another round")
    say(console, f"follow it: neq status {shlex.quote(str(folder))} --watch")


def submit_round(
    folder: Path, submission: Submission, number: int, n_task: int, directives: Sequence[str] = ()
) -> dict[str, int]:
    """Submit the tasks of a round and the job after them; return their ids."""
    asked = submission.checked_profile()
    elements = f"--array=0-{n_task - 1}%{asked.most_jobs}"
    one = asked.model_copy(update={"cores": 1, "processes": 1})
    directives = [elements, "--kill-on-invalid-dep=yes", *directives]
    array = jobs.submit(folder, one, TASKS, [TASKS, str(number)], directives, _leave(one))
    try:
        after = [f"--dependency=afterany:{array}"]
        last = jobs.submit(folder, jobs.driver_profile(asked), FINISH, [FINISH, str(number)], after)
    except SweepError:
        with told(SweepError):
            slurm.cancel([array])
        raise
    return {TASKS: array, FINISH: last}


def prepare(folder: Path, console: Console) -> int:
    """Prepare sources and store, and hand the blocks of the first round out: the first job."""
    with job_ends.ending(folder):
        return _prepare(folder, console)


def _prepare(folder: Path, console: Console) -> int:
    from workflows import engine

    config, study = _study(jobs.read(folder))
    with jobs.patient_lease(folder) as lease:
        study.make_ready(lambda text: say(console, text))
        prepared = array_ingest.ingest(folder, study)
        prepare_sources.accept(prepared, study, folder, console)
        opened = engine.prepare_store(folder, study, prepared, lease)
        store.drop_consolidated(opened.path)
        write_config(folder, config)
        run_id, blame = provenance.new_id(), Blame(opened, config.sweep.deaths)
        reset.settle_ingest(opened, engine.wanted_cells(opened, study), lease, run_id)
        _, pending = _settle(opened, study, config, lease, blame, run_id, console)
        array_round.hand_out(opened, pending, lease, blame, 1, run_id)
    say(console, f"{int(pending.sum())} cells to compute")
    return 0


def compute(folder: Path, number: int, console: Console) -> int:
    """Compute blocks that no other task has taken, until none is left: a task of the array."""
    job, index = jobs.own_job(), int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    preload.dask_setup(None)
    record: dict[str, Any] = {"job": job, "machine": provenance.machine(), "counts": {}, "problems": []}
    path = array_round.folder(folder, number) / f"{index}.json"
    write_whole(path, json.dumps(record).encode())
    handed = handout.read(array_round.folder(folder, number) / "blocks.json")
    config, study = _study(jobs.read(folder))
    counts: Counter[str] = Counter()
    last = leaving.leave_at()
    for given in _needed(folder, handed, study, config.sweep.stop):
        if leaving.time_is_up():
            break
        if not handout.take(folder, given, job):
            continue
        result = handout.work(folder, given, handed.run_id, config.sweep.flush)
        # a cell that is begun before the end is near shall be done in time
        os.environ[leaving.VARIABLE] = str(min(leaving.leave_at(), last - result["longest"]))
        counts.update({name: result[name] for name in layout.STATUS_NAMES if name in result})
        record["counts"] = dict(counts)
        if result["state"] not in ("done", "left"):
            record["problems"].append(result["message"] or f"block {given.block} was taken away")
            say(console, record["problems"][-1])
        write_whole(path, json.dumps(record).encode())
        if result["state"] in ("disk", "fenced"):
            return EXIT_FAILED
    if leaving.time_is_up():
        say(console, "the walltime is nearly over: what is left is for the next round")
    say(console, f"computed: {json.dumps(record['counts'])}")
    return 0


def finish(folder: Path, number: int, console: Console) -> int:
    """Reduce, or begin the next round where cells are left: the last job of a round."""
    with job_ends.ending(folder):
        return _finish(folder, number, console)


def _finish(folder: Path, number: int, console: Console) -> int:
    submission = jobs.read(folder)
    config, study = _study(submission)
    blocks = array_round.folder(folder, number) / "blocks.json"
    if not blocks.exists():
        raise SweepError(f"{folder} was not prepared: the log of job {submission.jobs.get(PREPARE)} there says why.")
    with jobs.patient_lease(folder) as lease:
        if (submission := jobs.read(folder)).jobs.get(FINISH) != jobs.own_job():
            raise ConfigError(f"Round {number} of {folder} is over: job {submission.jobs.get(FINISH)} ends the run.")
        opened = Store.open(folder / STORE_NAME, "r+")
        earlier, blame = handout.read(blocks), Blame(opened, config.sweep.deaths)
        n_death = handout.judge(opened, earlier, blame, cause)
        owners.revoke_all(folder, lease.epoch)
        status, pending = _settle(opened, study, config, lease, blame, earlier.run_id, console)
        handout.tidy(opened, earlier, pending, lease)
        n_computed = array_round.note(opened, number, earlier.run_id)
        if pending.any():
            submission = submission.after(int((status != layout.PENDING).sum()), advanced=bool(n_death))
            return _next_round(opened, pending, lease, blame, number + 1, submission, console)
        store.consolidate(opened.path)
    pipeline.draw(folder, study, console)
    outcome = summary_text.Outcome(folder, pipeline.count(status), n_computed, 0.0)
    summary_text.tell(outcome, study, console)
    job_ends.forget(folder)
    return outcome.exit_code


def _leave(asked: Profile) -> str:
    """Return the line by which a task begins no cell when its walltime is nearly over."""
    margin = max(asked.walltime_seconds - asked.lifetime_seconds(), script.LEAST_MARGIN)
    return leaving.export(asked.lifetime_seconds(margin), stagger=0.0)


def cause(job: int) -> tuple[str, bool]:
    """Return why a task's job died in a cell, and whether its work may be to blame; not where SLURM has forgotten."""
    with told(SweepError):
        found = slurm.jobs([job]).get(job) or slurm.ended([job]).get(job)
    if found is None or not found.ended:
        return ends.UNKNOWN, False
    end = ends.of_job(found)
    return end.text, end.guilty


def _needed(
    folder: Path, handed: handout.HandOut, study: Study, rule: run_config.StopConfig | None
) -> Iterator[handout.Given]:
    """Yield the blocks that nobody has taken and that the stop rule needs, each judged when its turn comes."""
    needs = None if rule is None else Needs(Store.open(folder / STORE_NAME), study, rule)
    for given in handed.given:
        if not handout.is_free(folder, given):
            continue
        if needs is None or needs.any(given.block, given.cells):
            yield given


def _settle(
    opened: Store,
    study: Study,
    config: run_config.RunConfig,
    lease: Lease,
    blame: Blame,
    run_id: str,
    console: Console,
) -> tuple[np.ndarray, np.ndarray]:
    """Mark what needs no task, while none lives; return the status of the config's cells, and which are left.

    The cells that are left are a mask of the whole grid.
    """
    from workflows import engine

    wanted = engine.wanted_cells(opened, study)
    status = stopping.settle(opened, study, config.sweep.stop, lease)
    for problem in handout.give_up(opened, wanted & (status == layout.PENDING), lease, blame, run_id):
        say(console, problem)
    status = stopping.settle(opened, study, config.sweep.stop, lease)
    return status[wanted], wanted & (status == layout.PENDING)


def _next_round(
    opened: Store,
    pending: np.ndarray,
    lease: Lease,
    blame: Blame,
    number: int,
    submission: Submission,
    console: Console,
) -> int:
    folder, n_pending = opened.path.parent, int(pending.sum())
    if submission.fruitless >= jobs.FRUITLESS:
        jobs.write(folder, replace(submission, end=job_ends.GIVEN_UP))
        say(console, f"given up: {submission.fruitless} rounds in a row without a new cell done, {n_pending} to go")
        say(console, f"the logs of the tasks in {folder / jobs.FOLDER} say why; then give the same command again")
        return EXIT_FAILED
    jobs.write(folder, submission)
    handed = array_round.hand_out(opened, pending, lease, blame, number, provenance.new_id())
    begun = submit_round(folder, submission, number, min(submission.tasks, len(handed.given)))
    jobs.write(folder, replace(submission, jobs=begun))
    say(console, f"{n_pending} cells are left: round {number}, jobs {begun[TASKS]} and {begun[FINISH]}")
    return 0


def _study(submission: Submission) -> tuple[run_config.RunConfig, Study]:
    config = submission.loaded()
    make = studies.study_class(config.study)
    resolved = make(config).resolved()
    return resolved, make(resolved)
