"""One fetch into a folder at a time, whoever gives the command."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from neq.errors import StoreError
from workflows.archives.lock import NAME, claimed

NOBODY = 65534


@pytest.fixture
def folder():
    """A folder that other users reach, as those of pytest are not."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


@contextlib.contextmanager
def as_another_user():
    """Be a user without rights; who is no superuser has none over what is read only."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def assert_refused(folder, said="Another neq fetch is at work"):
    with pytest.raises(StoreError, match=said), claimed(folder):
        pass


def test_claimed__one_process_at_a_time(tmp_path):
    with claimed(tmp_path / "new"):
        assert_refused(tmp_path / "new")
        (tmp_path / "file").write_text("")
        assert_refused(tmp_path / "file", r"cannot be made \(File exists\)")
    with claimed(tmp_path / "new"):
        pass


def test_claimed__also_by_another_user(folder):
    with claimed(folder):
        (folder / NAME).chmod(0o444)
        with as_another_user():
            assert_refused(folder)
    with as_another_user(), claimed(folder):
        assert_refused(folder)


def test_claimed__a_lock_that_may_not_be_opened_is_told(folder):
    (folder / NAME).touch()
    (folder / NAME).chmod(0)
    with as_another_user():
        assert_refused(folder, rf"{NAME} cannot be opened \(Permission denied\); ask its owner .* --to\.")


def test_claimed__a_folder_that_is_read_only_needs_no_lock(folder):
    folder.chmod(0o555)
    with as_another_user(), claimed(folder):
        assert list(folder.iterdir()) == []


def test_claimed__a_dry_run_makes_nothing(tmp_path):
    with claimed(tmp_path / "new", dry_run=True):
        assert list(tmp_path.iterdir()) == []
