"""The command line, as a person at a terminal and a script in a pipe meet it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import neq
from workflows import cli, layout, lease
from workflows.commands import pipeline
from workflows.store import Store

ROOT = Path(__file__).parents[2]
COMMANDS = ["run", "plan", "status", "rerun", "verify", "doctor", "figures", "report", "config check", "config show"]
COMMANDS += ["cluster show", "cluster check", "ingest", "inspect"]


def invoke(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], terminal_width=200)


def start(*arguments):
    """Start `neq` in a process of its own, as a shell would."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.Popen(
        [sys.executable, "-m", "workflows.cli", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a suite that was itself started in the background ignores SIGINT, and what it starts would too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def toy_config(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(f"study: toy_study:Toy\nresults: {tmp_path}/run\nrepetitions: 3\ncluster: {{workers: 1}}\n")
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_help__teaches_with_an_example(command):
    result = invoke(*command.split(), "--help")
    assert result.exit_code == 0
    assert re.search(rf"\n +neq {command}( |\n)", result.output)


def test_help__is_quick():
    start_time = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "workflows.cli", "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0
    for heavy in ("numpy", "dask", "pydantic", "numba", "xarray"):
        assert not re.search(rf"\| +{heavy}$", done.stderr, re.M), heavy
    assert time.monotonic() - start_time < 5  # under 1 s on a machine with nothing else to do


def test_version():
    assert invoke("--version").output == f"neq {neq.__version__}\n"


def test_run__says_where_everything_is(finished_run):
    _, run, outcome, text = finished_run
    assert outcome.exit_code == 1
    assert "dashboard while it runs: http://127.0.0.1:" in text
    assert "36 cells: 12 ok, 12 failed, 12 impossible" in text
    assert "failed, 12 x ValueError: no number for bad1, repetition 0 (session bad1" in text
    assert "impossible, 12 x size 13 is larger than the 5 units there are (session a" in text
    assert f"neq rerun {run} --failed" in text
    assert f'import neq; ds = neq.open_run("{run}")' in text
    assert f'ds = xr.open_zarr("{run}/sweep.zarr")' in text
    assert (run / "report.html").exists()
    assert neq.open_run(run).sizes["session"] == 2
    facts = next((run / "runs").glob("*.json")).read_text()
    for key in ("dashboard", "workers", "settings_hash", "simd", "argv", "ended"):
        assert f'"{key}"' in facts


def test_run__finished_store_says_so(run_copy):
    result = invoke("run", run_copy / "config.yaml", "--set", f"results={run_copy}")
    assert f"{run_copy} is finished: nothing left to compute." in result.output
    assert result.exit_code == 1  # the failed cells are still failed
    assert len(list((run_copy / "runs").glob("*.json"))) == 1


def test_run__grows_by_new_labels(run_copy):
    result = invoke("run", run_copy / "config.yaml", "--set", f"results={run_copy}", "--set", "sessions=[a, b]")
    assert "18 cells" not in result.output.splitlines()[0]
    assert "36 cells: 24 ok, 12 impossible, 18 computed" in result.output
    assert result.exit_code == 0
    assert Store.open(run_copy / "sweep.zarr").labels("session") == ("a", "bad1", "b")


def test_run__tells_of_the_labels_of_its_config_only(run_copy):
    result = invoke("run", run_copy / "config.yaml", "--set", f"results={run_copy}", "--set", "sessions=[a]")
    assert "18 cells: 12 ok, 6 impossible" in result.output
    assert "failed" not in result.output
    assert "18/18" not in (run_copy / "report.html").read_text()
    assert "12/18 cells, 6 impossible" in (run_copy / "report.html").read_text()
    assert "left out by the config: session bad1" in invoke("status", run_copy).output


def test_run__another_study_is_refused_with_the_difference(run_copy):
    before = Store.open(run_copy / "sweep.zarr").read("run")
    result = invoke("run", run_copy / "config.yaml", "--set", f"results={run_copy}", "--set", "strength=2.0")
    assert result.exit_code == 2
    assert "strength: 1.0 in the store, 2.0 in the config" in result.stderr
    assert "--set results=FOLDER" in result.stderr
    np.testing.assert_array_equal(Store.open(run_copy / "sweep.zarr").read("run"), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cluster", "moon"], "or the path of a FILE.yaml, found 'moon'"),
        (["--cluster", "gone.yaml"], "gone.yaml is not there: give the path of a YAML file, or a name of"),
        (["--workers", "0"], "cluster.workers: expected greater than or equal to 1, found 0"),
        (["--set", "cluster.memory=lots"], "expected a size such as 4GiB, found 'lots'"),
        (["--set", "sweep.block={siez: 2}"], "siez"),
        (["--set", "sizes=[]"], "size"),
        (["--set", "repetition=2", "--set", "seed=x"], "2 problems"),
    ],
)
def test_run__bad_config_is_one_message_and_leaves_nothing(toy_config, tmp_path, options, message):
    result = invoke("run", toy_config, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "run" / "sweep.zarr").exists()


def test_run__bad_options_exit_2(toy_config):
    assert invoke("run").exit_code == 2
    assert invoke("run", toy_config, "--nonsense").exit_code == 2
    assert invoke("nonsense").exit_code == 2


def test_run__no_recording_can_be_read(toy_config, tmp_path):
    result = invoke("run", toy_config, "--set", "with_sources=true")
    assert result.exit_code == 2
    assert re.search(r"2 recordings \(session a, b\): .*No such file.*{session}", result.stderr)
    assert not (tmp_path / "run" / "sweep.zarr").exists()


def test_run__folder_cannot_be_written(toy_config, tmp_path):
    (tmp_path / "run").write_text("a file where the folder should be")
    result = invoke("run", toy_config)
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_run__debug_shows_the_traceback(tmp_path):
    assert "Traceback" in invoke("run", tmp_path / "no.yaml", "--debug").stderr


def test_unexpected_error__one_sentence(toy_config, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("out of\nthe blue")

    monkeypatch.setattr(pipeline, "run", fail)
    result = invoke("run", toy_config)
    assert result.exit_code == 1
    assert "unexpected RuntimeError: out of the blue. Give the command again with --debug" in result.stderr


def test_run__second_driver_is_refused(run_copy):
    with lease.acquire(run_copy):
        result = invoke("rerun", run_copy, "--failed")
    assert result.exit_code == 2
    assert "is in use: process" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run__stopped_cleanly_and_goes_on(toy_config, tmp_path, number):
    status = tmp_path / "run" / "sweep.zarr" / "status"
    process = start("run", toy_config, "--set", "seconds=0.3")
    wait_for(lambda: len(list(status.glob("c.*"))) >= 2)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err == "neq: Stopped. What is done is kept; give the same command again to go on.\n"
    assert "\x1b" not in out
    assert lease.current(tmp_path / "run") is None
    done = int((Store.open(tmp_path / "run" / "sweep.zarr").status() == layout.OK).sum())
    assert 0 < done < 36
    result = invoke("run", toy_config)
    assert result.exit_code == 0, result.stderr
    assert f"36 ok, {36 - done} computed" in result.output


def test_config_check__right_and_wrong(toy_config):
    result = invoke("config", "check", toy_config)
    assert result.exit_code == 0
    assert "36 cells (2 session x 2 condition x 3 size x 3 repetition)" in result.output
    result = invoke("config", "check", toy_config, "--set", "size=[1]")
    assert result.exit_code == 2
    assert "size: unknown key; did you mean 'sizes'?" in result.stderr


def test_config_check__what_the_cluster_cannot_be(toy_config):
    result = invoke("config", "check", toy_config, "--set", "cluster.profile=nope", "--set", "cluster.memory=xx")
    assert result.exit_code == 2
    assert re.search(r"cluster.profile: expected 'local', .* or the path of a FILE.yaml, found 'nope'", result.stderr)
    assert "cluster.memory: expected a size such as 4GiB, found 'xx'" in result.stderr


def test_config_check__without_the_recordings(tmp_path):
    (tmp_path / "m.yaml").write_text(f"recordings: {{path: '{tmp_path}/*.npz'}}\nsizes: [3]\n")
    result = invoke("config", "check", tmp_path / "m.yaml")
    assert result.exit_code == 0, result.stderr
    assert "cannot be counted here: No file matches" in result.output


def test_config_show__reads_back(toy_config, tmp_path):
    shown = tmp_path / "shown.yaml"
    shown.write_text(invoke("config", "show", toy_config).output)
    assert invoke("config", "check", shown).exit_code == 0
    assert "# A setting: another value is another study." in shown.read_text()


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "configs").glob("*.yaml")))
def test_config_check__of_the_package(name):
    options = ["--set", "recordings.path=x.npz"] if name == "recording.yaml" else []
    result = invoke("config", "check", ROOT / "configs" / name, *options)
    assert result.exit_code == 0, result.stderr


def test_plan__in_words(toy_config):
    result = invoke("plan", toy_config)
    assert result.exit_code == 0, result.stderr
    for text in (
        "cells: 36 in",
        "timed session",
        "core-hours (range",
        "workers, about",
        "MiB per worker",
        "store at most",
    ):
        assert text in result.output


def test_plan__finished(run_copy):
    result = invoke("plan", run_copy / "config.yaml", "--set", f"results={run_copy}")
    assert "so far 12 ok, 12 failed, 12 impossible" in result.output
    assert "nothing to compute" in result.output


def test_plan__another_study_is_refused_as_by_run(run_copy):
    same = [run_copy / "config.yaml", "--set", f"results={run_copy}", "--set", "seed=5"]
    planned, ran = invoke("plan", *same), invoke("run", *same)
    assert planned.exit_code == ran.exit_code == 2
    assert planned.stderr == ran.stderr
    assert "seed: 0 in the store, 5 in the config" in planned.stderr


def test_plan__no_recording_can_be_read(tmp_path):
    (tmp_path / "m.yaml").write_text(
        f"recordings: {{path: {tmp_path}/missing.npz}}\nsizes: [3]\nresults: {tmp_path}/results/m\n"
    )
    result = invoke("plan", tmp_path / "m.yaml")
    assert result.exit_code == 2
    assert "session missing" in result.stderr
    assert "missing.npz" in result.stderr
    assert not (tmp_path / "results").exists()


def test_status__plain_in_a_pipe(run_copy):
    result = invoke("status", run_copy)
    assert result.exit_code == 0
    assert "36 cells: 12 ok, 12 failed, 12 impossible" in result.output
    assert "\x1b" not in result.output
    result = invoke("status", run_copy, "--watch")
    assert result.output == f"{run_copy}: 36 cells: 12 ok, 12 failed, 12 impossible\n"


def test_status__not_a_run(tmp_path):
    result = invoke("status", tmp_path / "nothing")
    assert result.exit_code == 2
    assert "There is no store" in result.stderr
    assert not (tmp_path / "nothing").exists()


def test_rerun__help_says_what_may_be_set():
    text = " ".join(invoke("rerun", "-h").output.split())
    assert "cluster.KEY=VALUE or sweep.deaths=N, nothing else." in text


def test_run__cluster_that_does_not_start(toy_config, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("Cluster failed\nto start")

    monkeypatch.setattr("distributed.LocalCluster", fail)
    result = invoke("run", toy_config)
    assert result.exit_code == 1
    assert result.stderr.startswith("neq: The cluster does not start (Cluster failed to start): ")
    assert len(result.stderr.splitlines()) == 1


def test_rerun__takes_workers_as_run_does(run_copy):
    result = invoke("rerun", run_copy, "--failed", "--where", "value > 1e9", "--workers", 1)
    assert result.exit_code == 1
    assert "is chosen: nothing to do" in result.output


def test_rerun__wrong_expression(run_copy):
    result = invoke("rerun", run_copy, "--where", "statuss == 'failed'")
    assert result.exit_code == 2
    assert "did you mean 'status'?" in result.stderr


def test_verify__mismatch_exits_1_with_a_table(run_copy):
    array = Store.open(run_copy / "sweep.zarr", "r+").array("value")
    array[0, 0, 0, 0] = 12.5
    result = invoke("verify", run_copy, "--cells", 36, "--where", "session == 'a' and size == 2")
    assert result.exit_code == 1
    assert "6 cells computed again and compared 6 bit by bit" in result.output
    assert "12.5" in result.output
    assert "1 values in 1 cells differ" in result.output


def test_doctor__exit_code_and_remedies(run_copy):
    result = invoke("doctor", run_copy)
    assert result.exit_code == 1
    assert f"-> neq rerun {run_copy} --failed" in result.output
    assert "1 problem" in result.output
    assert invoke("doctor").output.count("numba compiles") == 1


def test_figures_and_report__alone(run_copy):
    (run_copy / "report.html").unlink()
    assert invoke("figures", run_copy).exit_code == 0
    result = invoke("report", run_copy)
    assert result.output.strip() == str(run_copy / "report.html")
    assert (run_copy / "report.html").exists()
