"""What the DANDI archive says of a dandiset over its REST API: versions, NWB files, hashes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any, TypeVar

import pydantic

from neq.errors import FetchError, RecordingError
from workflows.archives import asking, dandi_etag, download
from workflows.archives.asking import Client, Refused

API = "https://api.dandiarchive.org/api"
PAGE = 200
"""Assets asked for at once, each with its metadata."""
DRAFT = "draft"

Answer = TypeVar("Answer", bound=pydantic.BaseModel)


class Version(pydantic.BaseModel, frozen=True):
    """A version of a dandiset."""

    version: str


class Dandiset(pydantic.BaseModel, frozen=True):
    """A dandiset: of its versions the newest published one, where one is."""

    most_recent_published_version: Version | None = None


class Versions(pydantic.BaseModel, frozen=True):
    """The versions of a dandiset."""

    results: list[Version]


class Metadata(pydantic.BaseModel, frozen=True):
    """What is known of the content of an asset. What older schemas write otherwise counts as not known."""

    digest: Any = None
    measured: Any = pydantic.Field(None, alias="variableMeasured")

    def hash(self, name: str) -> str:
        """Return a hash of the asset, "" where it is not known."""
        found = self.digest.get(name) if isinstance(self.digest, dict) else None
        return found.lower() if isinstance(found, str) else ""

    @property
    def holds_units(self) -> bool:
        """Whether there are units in the file, or nothing is known of what is."""
        entries = self.measured if isinstance(self.measured, list) else []
        names = [entry.get("value") if isinstance(entry, dict) else entry for entry in entries]
        return not names or "Units" in names


class Asset(pydantic.BaseModel, frozen=True):
    """One file of a dandiset."""

    asset_id: Annotated[str, pydantic.Field(pattern=r"^[0-9A-Za-z-]+$")]
    path: str
    size: pydantic.NonNegativeInt
    metadata: Metadata | None = None

    @pydantic.field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or not path.isprintable() or "\\" in path:
            raise ValueError(f"the path {path!r}, which leads out of the folder")
        return path

    @property
    def hash(self) -> str:
        """The hash to check, named as :class:`~workflows.archives.wanted.Wanted` has it; "" where there is none."""
        known = self.metadata or Metadata()
        if sha256 := known.hash("dandi:sha2-256"):
            return f"sha256:{sha256}"
        etag = known.hash("dandi:dandi-etag") if self.size <= dandi_etag.LARGEST else ""
        return f"{dandi_etag.NAME}:{etag}" if etag else ""

    @property
    def holds_units(self) -> bool:
        """Whether there are units in the file, or nothing is known of what is."""
        return self.metadata is None or self.metadata.holds_units

    def part(self, key: str) -> str:
        """Return the value of a key in the name of the file, "" where it has none.

        Examples
        --------
        >>> asset = Asset(asset_id="1", path="sub-5/sub-5_ses-20200817T222149.nwb", size=3)
        >>> asset.part("sub"), asset.part("ses"), asset.part("probe")
        ('5', '20200817T222149', '')
        """
        found = re.search(rf"(?:^|_){key}-([^_]+)", PurePosixPath(self.path).stem)
        return found[1] if found else ""


class Page(pydantic.BaseModel, frozen=True):
    """Some assets, and the URL of the next page."""

    next: str | None = None
    results: list[Asset]


def newest_version(client: Client, api: str, dandiset: str) -> str:
    """Return the newest published version of a dandiset, "draft" where none is published.

    Raises
    ------
    RecordingError
        There is no such dandiset, or it is embargoed.
    FetchError
        The archive is not to be reached, or answers something else.
    """
    try:
        found = _ask(client, f"{api}/dandisets/{dandiset}/", Dandiset)
    except Refused as error:
        raise _problem(error, dandiset, f"There is no dandiset {dandiset} at {api}; see its number there") from error
    return found.most_recent_published_version.version if found.most_recent_published_version else DRAFT


def nwb_files(client: Client, api: str, dandiset: str, version: str) -> list[Asset]:
    """Return the NWB files of a version of a dandiset, sorted by path.

    Raises
    ------
    RecordingError
        There is no such version, or it is embargoed.
    FetchError
        The archive is not to be reached, or answers something else.
    """
    place = f"{api}/dandisets/{dandiset}/versions/"
    url: str | None = f"{place}{version}/assets/?order=path&glob=*.nwb&metadata=true&page_size={PAGE}"
    seen: dict[str, list[Asset]] = {}
    while url:
        if url in seen:
            raise FetchError(f"{url}: the archive names this page as its own next one; try again later")
        try:
            page = _ask(client, url, Page)
        except Refused as error:
            there = _versions(client, place) if error.status == 404 else ""
            absent = f"DANDI {dandiset} has no version {version}; there are {there}"
            raise _problem(error, dandiset, absent) from error
        seen[url], url = page.results, page.next
    files = {asset.path: asset for page in seen.values() for asset in page if asset.path.endswith(".nwb")}
    return [files[path] for path in sorted(files)]


def with_hashes(client: Client, api: str, assets: Sequence[Asset]) -> list[Asset]:
    """Return assets with all hashes that the archive has of them; its lists may lack some.

    Raises
    ------
    FetchError
        The archive is not to be reached, or answers something else.
    """
    return asking.at_once(client, partial(_with_hash, client, api), assets)


def _with_hash(client: Client, api: str, asset: Asset) -> Asset:
    if asset.hash.startswith("sha256:"):
        return asset
    try:
        return asset.model_copy(update={"metadata": _ask(client, f"{api}/assets/{asset.asset_id}/", Metadata)})
    except Refused:
        return asset  # the transfer itself says what is wrong


def _versions(client: Client, place: str) -> str:
    try:
        return ", ".join(one.version for one in _ask(client, f"{place}?page_size=100", Versions).results) or "none"
    except Refused:
        return "none that can be listed, so the dandiset may not exist either"


def _problem(error: Refused, dandiset: str, absent: str) -> Exception:
    """Return the error to raise where the archive refuses to tell of a dandiset; ``absent`` is why it does not know."""
    if error.status in (401, 403):
        return RecordingError(
            f"DANDI {dandiset} is embargoed: the archive shows it to its owners only ({error.status}); "
            "ask them, or wait until it is open."
        )
    return RecordingError(f"{absent}.") if error.status == 404 else error


def _ask(client: Client, url: str, model: type[Answer]) -> Answer:
    try:
        return model.model_validate_json(download.read(url, client))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the answer"
        raise FetchError(
            f"Expected at {url} what the DANDI archive answers, found in {place}: "
            f"{first['msg'].removeprefix('Value error, ')}; see whether this is the archive"
        ) from error
