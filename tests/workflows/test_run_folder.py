"""Runs of the main study on files that change, move or vanish between two runs."""

import os
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from workflows import cli, run_folder
from workflows.commands import doctor
from workflows.commands.finding import PROBLEM


def invoke(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], terminal_width=200)


def write_recording(path, seed):
    spikes = np.random.default_rng(seed).random((400, 4)) < 0.3
    np.savez(path, S=spikes, bin_size=0.01)


@pytest.fixture
def project(tmp_path):
    """Return a folder with a config, its two recordings and its finished run."""
    for number, name in enumerate("uv"):
        write_recording(tmp_path / f"{name}.npz", number)
    (tmp_path / "e.yaml").write_text(
        f'recordings: {{kind: arrays, path: "{tmp_path}/*.npz"}}\nbinning: {{bin_size: 0.01}}\nsizes: [2]\n'
        f"repetitions: 1\nestimator: {{split: shuffled, n_draw: 0}}\nresults: {tmp_path}/run\ncluster: {{workers: 1}}\n"
    )
    result = invoke("run", tmp_path / "e.yaml")
    assert result.exit_code == 0, result.output + result.stderr
    return tmp_path


def source_problems(folder):
    return [one.text for one in doctor.examine(folder) if one.kind == PROBLEM and "changed" in one.text]


def test_run__changed_source_is_refused_every_time(project):
    shutil.copy(project / "v.npz", project / "u.npz")
    for _ in range(2):
        result = invoke("run", project / "e.yaml")
        assert result.exit_code == 2, result.output
        assert "content of the recording session u" in result.stderr
    assert len(source_problems(project / "run")) == 1


def test_sources_changed__same_bytes_at_another_time_are_no_change(project):
    os.utime(project / "u.npz", (1, 1))
    assert run_folder.sources_changed(project / "run") == []
    assert source_problems(project / "run") == []
    assert "nothing left to compute" in invoke("run", project / "e.yaml").output


def test_run__moved_folder_stays_where_it_is(project):
    (project / "run").rename(project / "moved")
    result = invoke("run", project / "moved" / "config.yaml")
    assert f"{project / 'moved'} is finished" in result.output
    assert not (project / "run").exists()
    assert str(project / "run") not in (project / "moved" / "config.yaml").read_text()


def test_run__vanished_file_keeps_its_session(project):
    (project / "v.npz").unlink()
    assert invoke("status", project / "run").exit_code == 0
    result = invoke("run", project / "run" / "config.yaml", "--set", "repetitions=2")
    assert "ingest failed, session v: " in result.output
    assert "4 cells: " in result.output


def test_run__condition_that_no_session_has(project):
    result = invoke("run", project / "e.yaml", "--set", "conditions=[al]", "--set", f"results={project}/other")
    assert result.exit_code == 2
    assert "conditions: no session has al; there are: all" in result.stderr
    assert not (project / "other" / "sweep.zarr").exists()
