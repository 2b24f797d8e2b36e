"""The profile that a command or a config names, with its errors as those of the user's call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from neq.errors import ConfigError, NeqError

if TYPE_CHECKING:
    from cluster.profile import Profile

LOCAL = "local"
"""The profile of this machine's own processes, which needs no file."""


def is_path(name: str) -> bool:
    """Whether a profile is given by its file.

    Examples
    --------
    >>> is_path("mine.yaml"), is_path("slurm")
    (True, False)
    """
    return Path(name).suffix in (".yaml", ".yml")


def located(name: str, folder: Path | None = None) -> str:
    """Return a profile's name as it is, its path made absolute: from here, else beside the config.

    A path found in neither place is taken from here, so that the message says where it was expected.
    """
    if not is_path(name):
        return name
    given = Path(name).expanduser()
    beside = given if folder is None else folder / given
    return str((beside if not given.exists() and beside.exists() else given).absolute())


def load_profile(name: str) -> Profile:
    """Return a checked profile of a batch system.

    Raises
    ------
    neq.errors.ConfigError
        There is no such profile, or it is not right.
    """
    if name == LOCAL:
        raise ConfigError("The profile 'local' has no jobs: name one of a batch system, such as slurm, or a FILE.yaml.")
    with told():
        from cluster import profile

        return profile.load(name)


def require(name: str) -> None:
    """Refuse a profile that cannot be used, before anything is done.

    Raises
    ------
    neq.errors.ConfigError
        There is no such profile, or it is not right.
    """
    if name != LOCAL:
        load_profile(name)


@contextlib.contextmanager
def told(kind: type[NeqError] = ConfigError) -> Iterator[None]:
    """Turn what is wrong with a profile or its batch system into an error of the user's call, or of another kind."""
    from cluster.errors import ClusterError

    try:
        yield
    except ClusterError as error:
        raise kind(str(error)) from error
