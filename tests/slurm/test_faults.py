"""Sweeps on a real SLURM, and what goes wrong there: every healthy cell ends ok, none is computed twice for nothing."""

import re
import signal
import time

import numpy as np
import pytest
import slurm_faults as faults

from workflows import layout, provenance

pytestmark = pytest.mark.timeout(600)

BITS = ("value", "n_unit", "reason", "drawn_unit", "status", "quality", "error_type", "error")
N_CELL, N_WORKER = 120, 4


def assert_same_bits(store, other):
    for name in BITS:
        np.testing.assert_array_equal(store.read(name), other.read(name), err_msg=name)


def attempts(sweep):
    return sweep.store.read("attempts").astype(int)


def n_twice(sweep):
    """Starts of cells beyond the first."""
    return int((attempts(sweep) - 1).sum())


def n_submitted(sweep):
    return len(re.findall(r"job \d+ submitted", sweep.events()))


def test_case_1__same_bits_as_the_local_run(sweep, local_store):
    code, out, err = sweep.configure().finish()
    assert (code, err) == (0, "")
    assert "120 cells: 120 ok" in out
    assert_same_bits(sweep.store, local_store)
    assert sweep.store.blocks.n_block == 40
    assert n_twice(sweep) == 0
    assert n_submitted(sweep) == N_WORKER
    assert not sweep.jobs()
    assert "finished" in sweep.status()


def test_case_2__job_cancelled(sweep, local_store, until):
    driver = sweep.configure(seconds=0.5).start()
    until(lambda: sweep.n_done() > 10)
    victim = sweep.running()[0]
    faults.scancel(victim.id)
    code, _, err = sweep.end(driver)
    assert (code, err) == (0, "")
    assert_same_bits(sweep.store, local_store)
    assert n_twice(sweep) <= 1 + int(2 / 0.5)  # the cell it was in, and what it had not handed over
    assert f"job {victim.id} ended: CANCELLED: somebody cancelled it (job {victim.id} on {victim.node})" in (
        sweep.events()
    )
    assert n_submitted(sweep) == N_WORKER + 1


@pytest.mark.long
def test_case_2__jobs_cancelled_while_they_prepare_a_source(sweep, until):
    keys = {"with_sources": True, "sessions": ["a"], "sizes": [2], "repetitions": 2, "sweep": {"deaths": 1}}
    sweep.configure({"workers": 1}, study="fault_study:Fault", ingest_seconds=3.0, seconds=0.0, **keys)
    sweep.run.mkdir()
    (sweep.run / "a.txt").write_text("one")
    begun = sweep.run / "begun"
    driver = sweep.start()
    until(lambda: begun.exists())
    (victim,) = sweep.running()
    faults.scancel(victim.id)
    code, out, err = sweep.end(driver)
    assert (code, err) == (0, "")
    assert "4 cells: 4 ok" in out
    # lost to others is no death of the source, which may have none here
    assert begun.read_text() == "a\na\n"
    assert f"job {victim.id} ended: CANCELLED" in sweep.events()


def test_case_5__preempted_and_queued_again(sweep, local_store, until):
    driver = sweep.configure({"partition": "scavenge"}, seconds=0.7).start()
    until(lambda: sweep.n_done() > 10)
    victim = sweep.running()[0]
    faults.preempt(victim.node, 3)
    code, _, err = sweep.end(driver)
    assert (code, err) == (0, "")
    assert_same_bits(sweep.store, local_store)
    assert n_twice(sweep) <= 1 + int(2 / 0.7)
    assert f"job {victim.id} ended: REQUEUED: preempted, or its node failed" in sweep.events()
    assert n_submitted(sweep) == N_WORKER


def test_case_7__driver_killed_and_started_again(sweep, local_store, until):
    # two jobs more than there are nodes: they wait when the driver dies
    driver = sweep.configure({"workers": 6}, seconds=0.5).start()
    until(lambda: sweep.n_done() > 10)
    driver.kill()
    driver.communicate()
    left = set(sweep.jobs())
    assert len(left) >= N_WORKER
    assert "nobody drives it; go on: neq run" in sweep.status()
    code, out, _ = sweep.finish()
    assert code == 0
    assert re.search(r"\d jobs of an earlier driver cancelled", out)
    assert_same_bits(sweep.store, local_store)
    assert n_twice(sweep) <= N_WORKER * (1 + int(2 / 0.5))
    assert not left & set(sweep.jobs())


def test_case_9__cell_that_crashes_its_worker(sweep, local_store):
    code, out, _ = sweep.configure(seconds=0.2, die="a/move/4/3").finish()
    assert code == 1
    place = (0, 1, 1, 3)
    store = sweep.store
    failed = store.status() == layout.FAILED
    assert np.argwhere(failed).tolist() == [list(place)]
    assert (store.status()[~failed] == layout.OK).all()
    assert store.read("error_type")[place] == "WorkerLost"
    assert (
        "The worker died in this cell 3 times; the last time: its process was killed by signal 9"
        in (store.read("error")[place])
    )
    np.testing.assert_array_equal(store.read("value")[~failed], local_store.read("value")[~failed])
    assert attempts(sweep)[place] == 3
    assert (attempts(sweep)[~failed] <= 2).all()
    # the nanny of a job starts another worker: no job has to wait in the queue again
    assert n_submitted(sweep) == N_WORKER
    assert "1 failed" in out


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"partition": "down"}, "partition down is INACTIVE"),
        ({"partition": "nope"}, "there is no partition 'nope'"),
        ({"memory": "900GiB"}, "memory, 1125.0 GiB, is over the limit of the nodes of partition normal, 3.9 GiB"),
        (
            {"directives": ["--constraint=moonstone"]},
            "sbatch refused the job: Batch job submission failed: Invalid feature",
        ),
    ],
)
def test_case_8__partition_that_refuses(sweep, profile, message):
    begin = time.monotonic()
    code, _, err = sweep.configure(profile).finish()
    assert code != 0
    assert message in err
    assert err.startswith("neq: ")
    assert err.count("\n") == 1
    assert time.monotonic() - begin < 40
    assert not sweep.jobs()


@pytest.mark.long
def test_case_8__jobs_that_fail_at_their_start(sweep):
    code, _, err = sweep.configure({"prologue": ["echo no such module >&2; exit 7"]}).finish()
    assert code == 1
    assert re.search(r"\d+ jobs in a row ended before their worker reached this machine; the last: FAILED", err)
    assert "with exit code 7" in err
    assert "no such module" in err
    assert n_submitted(sweep) < 10


@pytest.mark.long
def test_case_8__prologue_that_hangs(sweep):
    code, _, err = sweep.configure({"prologue": ["sleep 600"], "start_patience": 5, "workers": 2}).finish()
    assert code == 1
    assert re.search(
        r"\d+ jobs in a row ended before their worker reached this machine; "
        r"the last: CANCELLED: no worker after 5 s \(job \d+ on n\d\)",
        err,
    )
    assert n_submitted(sweep) < 10
    assert not sweep.jobs()


@pytest.mark.long
def test_case_3__cell_that_needs_more_memory(sweep, local_store):
    code, _, err = sweep.configure(study="fault_study:Fault", hog="b/rest/2/1", hog_mib=350).finish()
    assert (code, err) == (0, "")
    place = (1, 0, 0, 1)
    np.testing.assert_array_equal(sweep.store.read("value"), local_store.read("value"))
    assert attempts(sweep)[place] in (2, 3)
    assert n_twice(sweep) <= 5 + attempts(sweep)[place]
    assert "memory raised to 2 times that of the profile, 600 MiB" in sweep.events()
    (run,) = provenance.read(sweep.run).values()
    assert run["memory"] == {"profile_mib": 300, "raised_to_mib": 600}


@pytest.mark.long
def test_case_3__cell_that_never_has_enough_memory(sweep, local_store):
    code, _, _ = sweep.configure(study="fault_study:Fault", hog="b/rest/2/1", hog_mib=2000, hog_pause=0.1).finish()
    assert code == 1
    failed = sweep.store.status() == layout.FAILED
    assert np.argwhere(failed).tolist() == [[1, 0, 0, 1]]
    assert (sweep.store.status()[~failed] == layout.OK).all()
    np.testing.assert_array_equal(sweep.store.read("value")[~failed], local_store.read("value")[~failed])
    assert re.search(r"the last time: OUT_OF_MEMORY: .*, of 1\.2 GiB\.", sweep.store.read("error")[1, 0, 0, 1])
    assert "memory raised to 4 times that of the profile, 1.2 GiB" in sweep.events()


@pytest.mark.long
def test_case_4__walltime_shorter_than_the_sweep(sweep, local_store):
    profile = {"walltime": "00:01:00", "workers": 2}
    code, _, err = sweep.end(sweep.configure(profile, seconds=3.0).start(), 500)
    assert (code, err) == (0, "")
    assert_same_bits(sweep.store, local_store)
    # workers leave between two cells
    assert n_twice(sweep) == 0
    assert n_submitted(sweep) > 4


@pytest.mark.long
def test_case_6__node_set_down(sweep, local_store, until):
    driver = sweep.configure(seconds=0.7).start()
    until(lambda: sweep.n_done() > 10)
    victim = sweep.running()[0]
    faults.set_down(victim.node)
    try:
        time.sleep(5)
    finally:
        faults.resume(victim.node)
    code, _, err = sweep.end(driver)
    assert (code, err) == (0, "")
    assert_same_bits(sweep.store, local_store)
    assert n_twice(sweep) <= 1 + int(2 / 0.7)
    assert re.search(rf"job {victim.id} ended: (NODE_FAIL|REQUEUED)", sweep.events())


@pytest.mark.long
def test_case_10__scheduler_killed_with_its_driver(sweep, local_store, until):
    driver = sweep.configure({"workers": 6}, seconds=0.5).start()
    until(lambda: sweep.n_done() > 10)
    driver.kill()
    driver.communicate()
    # nobody cancels them: workers leave, and those that start now find no scheduler
    until(lambda: not sweep.jobs(), 150)
    code, _, _ = sweep.finish()
    assert code == 0
    assert_same_bits(sweep.store, local_store)
    # one for each worker that the scheduler left alone, at most
    assert n_twice(sweep) <= 6


def test_case_10__driver_asked_to_end(sweep, until):
    driver = sweep.configure(seconds=0.5).start()
    until(lambda: sweep.n_done() > 10)
    driver.send_signal(signal.SIGTERM)
    code, _, err = sweep.end(driver, 30)
    assert code == 130
    assert err == "neq: Stopped. What is done is kept; give the same command again to go on.\n"
    until(lambda: not sweep.jobs(), 15)
