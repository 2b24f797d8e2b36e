"""What made a run."""

import json
import shutil
import subprocess

import pytest

from workflows import provenance


def test_describe__is_plain_json():
    facts = provenance.describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["machine"]["versions"]["numba"]
    assert facts["machine"]["cpu"]
    assert facts["host"]


def test_describe__slurm_ids(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert provenance.describe()["slurm"]["SLURM_JOB_ID"] == "17"


def test_differences__names_what_can_change_a_bit():
    now = provenance.machine()
    then = {**now, "simd": "X86_V9", "versions": {**now["versions"], "numba": "0.1", "dask": "0.1"}}
    assert [line.partition(":")[0] for line in provenance.differences(then, now)] == ["simd", "numba"]
    assert provenance.differences(now, now) == []


def test_write__read_back_in_order_and_broken_files_told(tmp_path):
    for run in ("2", "1"):
        provenance.write(tmp_path, run, {"n": run})
    (tmp_path / "runs" / "3.json").write_text("{")
    assert provenance.read(tmp_path) == {"1": {"n": "1"}, "2": {"n": "2"}, "3": {}}
    assert list(provenance.read(tmp_path)) == ["1", "2", "3"]
    assert not list((tmp_path / "runs").glob("*.part"))


def test_new_id__sorts_by_time_and_is_new():
    one, two = provenance.new_id(), provenance.new_id()
    assert one != two
    assert one[:15] <= two[:15]


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_code__commit_and_dirty_of_this_package_only(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e@x.org"]
        subprocess.run(["git", *identity, "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    source = tmp_path / "provenance.py"
    source.write_text("1")
    monkeypatch.setattr(provenance, "__file__", str(source))
    git("init")
    provenance.code.cache_clear()
    assert provenance.code() == {}  # a repository around the package that does not track it
    git("add", ".")
    git("commit", "-m", "one")
    provenance.code.cache_clear()
    assert provenance.code()["dirty"] is False
    source.write_text("2")
    provenance.code.cache_clear()
    assert provenance.code()["dirty"] is True
    assert len(provenance.code()["commit"]) == 40
    provenance.code.cache_clear()
