"""The folder in which a worker keeps its compiled kernels."""

import os

import pytest

from cluster import preload


def test_take__keeps_its_own_folder(tmp_path):
    root = tmp_path / "root"
    assert [preload.take(root) for _ in range(2)] == [root / "0", root / "1"]


@pytest.mark.parametrize("fault", ["writable", "link", "file", "owner"])
def test_take__leaves_a_folder_that_others_may_write(tmp_path, monkeypatch, fault):
    root = tmp_path / "root"
    if fault == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        root.symlink_to(tmp_path / "elsewhere")
    elif fault == "file":
        root.touch()
    else:
        root.mkdir(mode=0o700)
    if fault == "writable":
        root.chmod(0o777)
    if fault == "owner":
        another = os.getuid() + 1
        monkeypatch.setattr(preload.os, "getuid", lambda: another)
    monkeypatch.setattr(preload.tempfile, "tempdir", str(tmp_path))
    taken = preload.take(root)
    assert root not in taken.parents
    assert taken.parent.name.startswith("root-")
    assert taken.parent.stat().st_mode & 0o077 == 0
