"""The Allen SDK itself, in its own environment, against neq's reader; and what is said where there is none."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from allen_session import CACHE, FILE, OTHER_FILE, answer, assert_same

from neq.errors import RecordingError
from neq.readers import allensdk, allensdk_environment, read_recording
from neq.spikes.binning import bin_spikes
from workflows import ingest

SCRIPT = allensdk_environment.SCRIPT


@pytest.fixture(scope="module")
def answers(sdk, tmp_path_factory):
    """Return the files of what the SDK answers for both sessions, asked at once in two processes."""
    folder = tmp_path_factory.mktemp("answers")
    into = {path: folder / f"{path.stem}.h5" for path in (FILE, OTHER_FILE)}
    with ThreadPoolExecutor() as pool:
        list(pool.map(allensdk.export, into, into.values()))
    return into


def test_environment__is_not_the_project_s_and_made_once(sdk):
    said = []
    allensdk_environment.make_environment(said.append)
    assert said == []
    assert importlib.util.find_spec("allensdk") is None
    place = allensdk_environment._uv("python", "find", "--script", str(SCRIPT)).stdout
    assert "environments" in place
    assert not place.startswith(sys.prefix)


@pytest.mark.parametrize(
    "options",
    [{}, {"order": "reference"}, {"quality": {}, "gabor_window": "presentations"}],
    ids=["stable", "reference", "all"],
)
@pytest.mark.parametrize("path", [FILE, OTHER_FILE], ids=["first", "second"])
def test_allensdk__makes_the_same_recording(answers, tmp_path, path, options):
    direct = read_recording(path, **options)
    asked = read_recording(answers[path], kind="allen", session=direct.session, **options, reader="allensdk")
    pd.testing.assert_frame_equal(asked.units, direct.units)
    pd.testing.assert_frame_equal(asked.epochs, direct.epochs)
    assert asked.subject == direct.subject == "544456"
    assert len(asked.spike_times) == len(direct.spike_times) > 20
    for ours, theirs in zip(direct.spike_times, asked.spike_times, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(bin_spikes(asked, 0.01)["spikes"], bin_spikes(direct, 0.01)["spikes"])
    first, second = (ingest.write_spikes(one, 0.01, tmp_path) for one in (direct, asked))
    assert first.content == second.content
    assert first.path != second.path


@pytest.mark.parametrize("path", [FILE, OTHER_FILE], ids=["first", "second"])
def test_allensdk__order_and_filter_of_its_own_pandas(answers, path):
    with h5py.File(answers[path]) as file:
        good = file["good_units"][:].tolist()
    assert read_recording(path, order="reference").units.index.tolist() == good
    assert read_recording(path, order="stable").units.index.tolist() != good


def test_allensdk__takes_the_order_that_was_answered(answers, tmp_path):
    with h5py.File(answers[FILE]) as file, h5py.File(tmp_path / "turned.h5", "w") as turned:
        for name in file:
            file.copy(name, turned)
        turned.attrs.update(file.attrs)
        turned["order"][:] = file["order"][:][::-1]
    there, back = (
        read_recording(path, kind="allen", order="reference", reader="allensdk")
        for path in (answers[FILE], tmp_path / "turned.h5")
    )
    assert there.units.index.tolist() == back.units.index[::-1].tolist()
    for one, other in zip(there.spike_times, reversed(back.spike_times), strict=True):
        np.testing.assert_array_equal(one, other)


def test_answers__are_those_written_down_for_the_fixture(answers):
    found = allensdk.open_answers(answers[FILE])
    for name in ("units", "channels", "presentations"):
        assert_same(getattr(found, name), answer(name))
    assert found.versions["allensdk"] == "2.16.2"
    assert found.versions["hdmf"].startswith("3.")


@pytest.mark.long
def test_ask__leaves_no_file_behind(sdk, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    asked = read_recording(CACHE, session="1064644574", kind="allen", reader="allensdk")
    assert list(tmp_path.iterdir()) == []
    assert sum(map(len, asked.spike_times)) == sum(map(len, read_recording(OTHER_FILE).spike_times)) > 0


def test_export__says_why_there_is_none(sdk, tmp_path):
    cut = tmp_path / "cut.nwb"
    cut.write_bytes(FILE.read_bytes()[:900_000])

    def told(path, into):
        with pytest.raises(RecordingError) as caught:
            allensdk.export(path, into)
        return str(caught.value)

    with ThreadPoolExecutor() as pool:
        unread, unwritten = pool.map(told, (cut, FILE), (tmp_path / "a.h5", tmp_path / "no" / "b.h5"))
    assert unread.startswith(
        f"The Allen SDK cannot open '{cut}' (OSError: Unable to synchronously open file (truncated"
    )
    assert unread.endswith("fetch the file again.")
    assert "cannot be written to" in unwritten
    assert "make room there" in unwritten


@pytest.mark.long
def test_environment__that_imports_and_opens_no_file_is_refused(sdk, tmp_path):
    wrong = tmp_path / "neq_test_wrong.py"
    wrong.write_text(SCRIPT.read_text().replace('"hdmf==3.14.6"', '"hdmf==6.2.0"'))
    said = []
    with pytest.raises(RecordingError) as caught:
        allensdk_environment.make_environment(said.append, wrong)
    for made in Path(allensdk_environment._uv("cache", "dir").stdout.strip()).glob("environments-*/neq-test-wrong-*"):
        shutil.rmtree(made)
    assert len(said) == 1
    message = str(caught.value)
    if "cannot be made" in message and os.environ.get("NEQ_REQUIRE_ALLENSDK") != "1":
        pytest.skip(message)
    assert "is there but opens no file (TypeError: Can't instantiate abstract class NWBFile" in message
    assert f"delete the folder '{made}', then give the command again" in message


def folder_to_delete(script):
    failed = subprocess.CompletedProcess([], 1, "", "boom")
    message = str(allensdk_environment.broken(failed, script))
    assert "opens no file (boom); delete the folder '" in message
    assert "cache clean" not in message  # which all projects of the user share
    return Path(message.split("'")[1])


def test_broken__names_the_folder_of_the_environment_alone(sdk):
    folder = folder_to_delete(SCRIPT)
    assert (folder / "pyvenv.cfg").is_file()
    assert folder.name.startswith("allensdk-export-")


def test_broken__never_names_another_environment(tmp_path):
    """Such as that of neq, which uv names where a script has none."""
    pytest.importorskip("uv", reason="uv is not installed")
    script = tmp_path / "neq_test_none.py"
    shutil.copy(SCRIPT, script)
    folder = folder_to_delete(script)
    assert folder.match("environments-*/neq-test-none-*")
    assert not sys.prefix.startswith(str(folder))


def test_environment__says_where_it_will_be_and_that_the_registry_is_away(tmp_path, monkeypatch):
    uv = pytest.importorskip("uv", reason="uv is not installed")
    assert uv
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    said = []
    with pytest.raises(RecordingError) as caught:
        allensdk_environment.make_environment(said.append)
    assert [str(tmp_path / "cache") in text and "0.9 GB" in text for text in said] == [True]
    message = str(caught.value)
    assert "cannot be made" in message
    assert "Connection refused" in message
    assert "UV_CACHE_DIR" in message


def test_environment__says_that_python_is_missing(tmp_path, monkeypatch):
    pytest.importorskip("uv", reason="uv is not installed")
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    old = tmp_path / "old.py"
    old.write_text(SCRIPT.read_text().replace("==3.11.*", "==3.5.*"))
    with pytest.raises(RecordingError, match=r"No interpreter found .*install Python 3\.11, or take the reader"):
        allensdk_environment.make_environment(lambda text: None, old)


def test_environment__says_that_uv_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RecordingError, match=r"needs the program uv, found none; `pip install 'neq\[allensdk\]'`"):
        read_recording(FILE, reader="allensdk")


def test_open_answers__of_something_else(tmp_path):
    with pytest.raises(RecordingError, match="found something else"):
        allensdk.open_answers(FILE)
    with pytest.raises(RecordingError, match="does not exist"):
        allensdk.export(tmp_path / "none.nwb", tmp_path / "none.h5")
