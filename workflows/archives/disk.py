"""What to do where the disk does not take a file: whether all must stop, and what the user is told."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_ROOM = "free some space there, or choose another folder"
_FOR_ALL = {errno.ENOSPC: _ROOM, errno.EDQUOT: _ROOM, errno.EROFS: "choose another folder with --to"}
"""Errors that the next file would meet too."""

_RIGHTS = "ask the owner of the folder for the right to read and write there, or choose another one with --to"
_IN_THE_WAY = "move away what lies where it, or a folder of its path, should be"
_FOR_ONE = {
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EISDIR: _IN_THE_WAY,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.ENAMETOOLONG: "choose a folder with a shorter path",
    errno.EFBIG: "choose a folder on a disk that holds files of this size",
}


def stops_all(error: OSError) -> bool:
    """Whether no other file can be written either.

    Examples
    --------
    >>> stops_all(OSError(errno.ENOSPC, "No space left on device")), stops_all(OSError(errno.EISDIR, "Is a directory"))
    (True, False)
    """
    return error.errno in _FOR_ALL


def why(error: OSError, path: Path) -> str:
    """Return why a file could not be written, and the remedy.

    Examples
    --------
    >>> why(OSError(errno.EISDIR, "Is a directory"), Path("a.nwb"))
    'a.nwb cannot be written: Is a directory; move away what lies where it, or a folder of its path, should be'
    """
    said = error.strerror or str(error)
    if stops_all(error):
        return f"it cannot be written: {said}; {_FOR_ALL[error.errno or 0]}"
    remedy = _FOR_ONE.get(error.errno or 0, "see whether the disk is in order, or choose another folder with --to")
    return f"{path} cannot be written: {said}; {remedy}"


def require_place(path: Path) -> None:
    """Raise where a file cannot be put, or what is there not be looked at, before anything is fetched for it.

    Raises
    ------
    OSError
        There is a folder, or a file that may not be read.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if os.path.exists(path) and not os.access(path, os.R_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
