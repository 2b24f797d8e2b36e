"""A folder of the Visual Behavior Neuropixels release as the AllenSDK leaves it: manifest, tables, sessions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

import pandas as pd
import pydantic

from neq.commands import command
from neq.errors import RecordingError

from .allen_sessions import ABNORMAL, read_sessions
from .allen_sessions import choose_sessions as choose_sessions

PROJECT = "visual-behavior-neuropixels"
"""Name of the release: the beginning of the names of its manifests and folders."""
SESSION_TABLE = "ecephys_sessions"

FILE_NAME = re.compile(r"ecephys_session_(\d+)")
"""How the release names its session files."""

_MANIFEST = re.compile(rf"{PROJECT}.*_manifest_v(\d+\.\d+\.\d+)\.json")


class ListedFile(pydantic.BaseModel, frozen=True):
    """One file of a release, as its manifest lists it."""

    url: str
    version_id: str
    file_hash: str
    """Hexadecimal blake2b of its bytes."""

    @pydantic.field_validator("url")
    @classmethod
    def _stays_inside(cls, url: str) -> str:
        parts = PurePosixPath(urlsplit(url).path).parts
        if len(parts) < 3 or ".." in parts or "\\" in url:
            raise ValueError("expected the address of a file below the folder of the release")
        return url

    @property
    def path(self) -> PurePosixPath:
        """Where the file lies below the root of the release: the path of its URL without the first folder.

        Examples
        --------
        >>> ListedFile(url="https://bucket/release/tables/units.csv", version_id="7", file_hash="").path.as_posix()
        'tables/units.csv'
        """
        return PurePosixPath(*PurePosixPath(urlsplit(self.url).path).parts[2:])


Name = Annotated[str, pydantic.Field(pattern=r"^\w[\w.-]*$")]


class Manifest(pydantic.BaseModel, frozen=True, validate_by_name=True, validate_by_alias=True):
    """What a release consists of."""

    project: Name = pydantic.Field(alias="project_name")
    version: Name = pydantic.Field(alias="manifest_version")
    tables: dict[str, ListedFile] = pydantic.Field(alias="metadata_files")
    """Tables of sessions, probes, channels and units, by name."""
    files: dict[str, ListedFile] = pydantic.Field(alias="data_files")
    """NWB files, by the ``file_id`` of the tables as text."""

    @property
    def name(self) -> str:
        """Name of the file in which a cache folder keeps this manifest."""
        return f"{self.project}_project_manifest_v{self.version}.json"


def parse_manifest(text: str | bytes, where: str | Path) -> Manifest:
    """Return the manifest of a release.

    Parameters
    ----------
    text
        Its JSON.
    where
        File or URL it comes from, for messages.

    Raises
    ------
    RecordingError
        It is not JSON or not a manifest.

    Examples
    --------
    >>> parse_manifest('{"project_name": "p", "manifest_version": "0.1.0", "metadata_files": {}, "data_files": {}}', "")
    Manifest(project='p', version='0.1.0', tables={}, files={})
    """
    try:
        return Manifest.model_validate_json(text)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise RecordingError(
            f"Expected in {str(where)!r} the manifest of a release of {PROJECT} (JSON with project_name, "
            f"manifest_version, metadata_files and data_files), found in {place}: {first['msg']}; fetch it again."
        ) from error


def session_name(path: Path) -> str:
    """Return what the session in a file is called where nobody says: its id, or how the file is called.

    Examples
    --------
    >>> session_name(Path("a/ecephys_session_1064644573.nwb")), session_name(Path("a/mouse.nwb"))
    ('1064644573', 'mouse')
    """
    named = FILE_NAME.fullmatch(path.stem)
    return named[1] if named else path.stem


@dataclass(frozen=True)
class AllenCache:
    """A cache folder and one of the releases in it."""

    folder: Path
    root: Path
    """Where the paths of the manifest begin."""
    manifest: Manifest
    others: tuple[str, ...] = ()
    """Other releases whose manifests lie there."""

    def sessions(self, abnormal: bool = False) -> pd.DataFrame:
        """Return the table of sessions, indexed by ``ecephys_session_id``, in the file's order.

        It is read once, and the same at every call: to be looked at, not changed.

        Parameters
        ----------
        abnormal
            Also those with abnormal histology or activity, which the AllenSDK leaves out by default.

        Raises
        ------
        RecordingError
            The table is missing, unreadable or without a column that is needed.
        """
        return self._all_sessions if abnormal else self._normal_sessions

    def leaves_out(self, session_id: int) -> bool:
        """Whether a session has abnormal histology or activity, so that no row of :meth:`sessions` is it.

        Raises
        ------
        RecordingError
            The table is missing, unreadable or without a column that is needed.
        """
        table = self.sessions(abnormal=True).reindex(columns=list(ABNORMAL))
        return bool(table[table.index == session_id].notna().any(axis=None))

    def session_file(self, session_id: int) -> Path:
        """Return where the NWB file of a session lies, or will lie once it is fetched.

        Raises
        ------
        RecordingError
            The release has no such session, or no file of it.
        """
        return self.root / self.listed(session_id).path

    def listed(self, session_id: int) -> ListedFile:
        """Return the manifest's entry of a session's NWB file.

        Raises
        ------
        RecordingError
            The release has no such session, or no file of it.
        """
        table = self._all_sessions
        (known,) = choose_sessions(table, [session_id])
        file_id = str(table.at[known, "file_id"])
        if file_id not in self.manifest.files:
            raise RecordingError(
                f"Session {session_id} has file_id {file_id}, which the manifest of release {self.manifest.version} "
                f"in {str(self.folder)!r} does not list; fetch the tables again."
            )
        return self.manifest.files[file_id]

    def has_sessions(self) -> bool:
        """Whether the table of sessions lies there."""
        table = self.manifest.tables.get(SESSION_TABLE)
        return table is not None and (self.root / table.path).is_file()

    # read once each: every session is looked up in them
    @cached_property
    def _all_sessions(self) -> pd.DataFrame:
        return self._read_sessions(abnormal=True)

    @cached_property
    def _normal_sessions(self) -> pd.DataFrame:
        return self._read_sessions(abnormal=False)

    def _read_sessions(self, abnormal: bool) -> pd.DataFrame:
        if SESSION_TABLE not in self.manifest.tables:
            found = ", ".join(self.manifest.tables) or "none"
            raise RecordingError(
                f"Release {self.manifest.version} in {str(self.folder)!r} has no table {SESSION_TABLE}, only {found}; "
                "fetch its manifest again."
            )
        path = self.root / self.manifest.tables[SESSION_TABLE].path
        options = {"--to": self.folder, "--release": self.manifest.version, "--tables-only": True}
        remedy = command("fetch", "allen-vbn", options=options)
        if self.others and not path.is_file():
            raise RecordingError(
                f"The table of sessions {str(path)!r} of release {self.manifest.version} is missing; fetch it: "
                f"`{remedy}` (there are manifests of {', '.join(self.others)} too)."
            )
        return read_sessions(path, remedy, abnormal)


def is_cache(folder: Path) -> bool:
    """Whether a folder holds a manifest of the release, in one of the two layouts of the AllenSDK."""
    return bool(manifests(Path(folder)))


def open_cache(folder: str | Path, version: str | None = None) -> AllenCache:
    """Return the cache in a folder as the AllenSDK leaves it.

    Two layouts: a manifest in the folder and files below ``visual-behavior-neuropixels-VERSION``, as it downloads
    them; or a mirror of the bucket, manifests and files below ``visual-behavior-neuropixels``.

    Parameters
    ----------
    folder
        The cache folder.
    version
        Of the release; by default the newest whose manifest and table of sessions lie there, else the newest.

    Raises
    ------
    RecordingError
        There is no manifest (of that version), or it cannot be used.
    """
    folder = Path(folder)
    found = manifests(folder)
    if not found:
        raise RecordingError(
            f"Folder {str(folder)!r} holds no manifest {PROJECT}_project_manifest_v*.json, so it is no cache of the "
            f"AllenSDK; give the folder that does, or `{command('fetch', 'allen-vbn', options={'--to': folder})}`."
        )
    if version is not None and version not in found:
        remedy = command("fetch", "allen-vbn", options={"--to": folder, "--release": version})
        raise RecordingError(
            f"Folder {str(folder)!r} has no manifest of version {version}, only of {', '.join(found)}; choose one of "
            f"them, or `{remedy}`."
        )
    caches = (_cache(folder, found, one) for one in ([version] if version else reversed(found)))
    first = next(caches)
    return first if first.has_sessions() else next((cache for cache in caches if cache.has_sessions()), first)


def _cache(folder: Path, found: Mapping[str, Path], version: str) -> AllenCache:
    path = found[version]
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RecordingError(f"Manifest {str(path)!r} cannot be read ({error.strerror}); fetch it again.") from error
    manifest = parse_manifest(text, path)
    root = path.parent.parent if path.parent.name == "manifests" else folder / f"{manifest.project}-{manifest.version}"
    return AllenCache(folder, root, manifest, tuple(one for one in found if one != version))


def manifests(folder: Path) -> dict[str, Path]:
    """Return the manifests in a folder by version, oldest first.

    Where one version has two, it is that of the AllenSDK's downloads.
    """
    paths = [path for place in ("manifests/", "*/manifests/", "") for path in folder.glob(f"{place}{PROJECT}*.json")]
    found = {match[1]: path for path in paths if (match := _MANIFEST.fullmatch(path.name))}
    return dict(sorted(found.items(), key=lambda item: tuple(map(int, item[0].split(".")))))
