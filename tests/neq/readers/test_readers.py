import os
import sys

import h5py
import numpy as np
import pytest

from neq.errors import RecordingError
from neq.readers import detect_kind, read_recording


def test_read_recording__missing_file(tmp_path):
    with pytest.raises(RecordingError, match=r"'.*nothing.npz' does not exist"):
        read_recording(tmp_path / "nothing.npz")
    for kind in ("arrays", "nwb", "phy"):
        with pytest.raises(RecordingError, match=r"does not exist"):
            read_recording(tmp_path / "nothing", kind=kind)


def test_read_recording__unknown_content(tmp_path):
    path = tmp_path / "notes.npz"
    path.write_text("not an archive")
    with pytest.raises(RecordingError, match=r"of no known kind .* expected an npz file"):
        read_recording(path)
    with pytest.raises(RecordingError, match=r"no params.py"):
        read_recording(tmp_path)
    with pytest.raises(RecordingError, match=r"needs a kind"):
        read_recording()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser reads everything")
def test_read_recording__unreadable_file(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, S=np.eye(2), bin_size=0.1)
    path.chmod(0)
    with pytest.raises(RecordingError, match=r"cannot be read"):
        read_recording(path)


def test_read_recording__unknown_kind_and_option(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, S=np.eye(2), bin_size=0.1)
    with pytest.raises(RecordingError, match=r"out of arrays, nwb, phy, allen, synthetic, found 'matlab'"):
        read_recording(path, kind="matlab")
    with pytest.raises(RecordingError, match=r"conditon: there is no such option, did you mean condition"):
        read_recording(path, conditon="rest")
    with pytest.raises(
        RecordingError, match=r"zzz: there is no such option, there are condition, epochs, duration, keys"
    ):
        read_recording(path, zzz=1)
    with pytest.raises(
        RecordingError, match=r"keys\.matrx: there is no such key; bin_size: input should be greater than 0"
    ):
        read_recording(path, keys={"matrx": "S"}, bin_size=-1)
    with pytest.raises(RecordingError, match=r"has no option 'n_units'"):
        read_recording(kind="synthetic", n_units=4)


def test_read_recording__names_the_animal(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, S=np.eye(2), bin_size=0.1)
    assert read_recording(path).subject == ""
    assert read_recording(path, subject=408021).subject == "408021"  # an id of digits need not be quoted
    assert read_recording(path, subject=408021).source == read_recording(path).source


def test_read_recording__names_a_missing_module(monkeypatch):
    monkeypatch.delitem(sys.modules, "neq.readers.nwb", raising=False)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(RecordingError, match=r"kind 'nwb' cannot be read here .* 'h5py' is missing; install it"):
        read_recording("a.nwb", kind="nwb")


def test_read_recording__names_a_kind_that_this_version_lacks(monkeypatch):
    monkeypatch.setitem(sys.modules, "neq.readers.allen", None)
    with pytest.raises(RecordingError, match=r"kind 'allen' .* cannot be read in this version of neq; export them"):
        read_recording("cache", kind="allen")


@pytest.mark.parametrize("kind", ["arrays", "nwb", "phy"])
def test_read_recording__needs_a_path(kind):
    with pytest.raises(RecordingError, match=rf"kind '{kind}' needs a path, found none; give that of an? "):
        read_recording(kind=kind)


def test_read_recording__session_is_the_file_stem(tmp_path):
    path = tmp_path / "a.b.npz"
    np.savez(path, S=np.eye(2), bin_size=0.1)
    recording = read_recording(path)
    assert recording.session == "a.b"
    assert recording.source == {"kind": "arrays", "path": str(path), "options": {}}


def test_detect_kind__by_content_not_by_name(tmp_path):
    with h5py.File(tmp_path / "a.npz", "w") as file:
        file["x"] = 1
    assert detect_kind(tmp_path / "a.npz") == "nwb"
    with (tmp_path / "b.nwb").open("wb") as stream:
        np.savez(stream, S=np.eye(2))
    assert detect_kind(tmp_path / "b.nwb") == "arrays"
    (tmp_path / "params.py").touch()
    assert detect_kind(tmp_path) == "phy"
