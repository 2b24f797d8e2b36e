"""A folder of objects at a URL: put, get and list, with conditions where the server knows them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TypeVar

from neq import urls
from neq.errors import StoreError

CONNECTIONS = 10
"""Objects under way at the same time; botocore's own pool has as many."""
ABSENT = ""
"""In place of a tag: there must be no object yet."""
_T = TypeVar("_T")
_S = TypeVar("_S")


class ChangedError(Exception):
    """The object is not, or no longer, what the condition says."""


class AwayError(StoreError):
    """The server was not reached: worth another try."""


@dataclass(frozen=True)
class Entry:
    """An object as the server lists it.

    Parameters
    ----------
    size
        Bytes.
    tag
        What changes with its content, the ETag of S3; "" where the server tells none.
    md5
        Of its content, hexadecimal; "" where the server tells none.
    """

    size: int
    tag: str
    md5: str


class Place:
    """A folder of objects.

    Parameters
    ----------
    url
        Of any protocol that fsspec knows.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._files, self._root = urls.filesystem(self.url)
        protocol = self._files.protocol
        self._s3 = "s3" in ((protocol,) if isinstance(protocol, str) else protocol)
        self.conditional = self._s3
        """Whether the server keeps conditions; found out by :func:`workflows.remote.lease.acquire`."""

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: object) -> str:
        return f"{self.url}/{name}"

    @property
    def name(self) -> str:
        """Last part of the URL."""
        return urls.last_part(self.url)

    def put(self, key: str, content: bytes, match: str | None = None) -> Entry:
        """Put an object whole, or not at all.

        Parameters
        ----------
        key
            Its name under the URL.
        content
            Its bytes.
        match
            The tag that the object there must have, :data:`ABSENT` for none; None: whatever is there. Ignored where
            the server keeps no conditions.

        Raises
        ------
        ChangedError
            The object there is another.
        neq.errors.StoreError
            It cannot be written.
        """
        path, md5 = f"{self._root}/{key}", hashlib.md5(content, usedforsecurity=False).hexdigest()
        if not self._s3:
            self._try(lambda: self._files.pipe_file(path, content))
            return Entry(len(content), "", md5)
        bucket, name = path.split("/", 1)
        condition = _condition(match) if self.conditional else {}
        answer = self._try(
            # not pipe_file, which cuts what is large in parts: an object that is put at once carries its MD5
            lambda: self._files.call_s3("put_object", Bucket=bucket, Key=name, Body=content, **condition),
            conditional=bool(condition),
        )
        return Entry(len(content), answer["ETag"], md5)

    def get(self, key: str) -> bytes | None:
        """Return the content of an object, None where there is none."""
        return self._try(lambda: _or_none(self._files.cat_file, f"{self._root}/{key}"))

    def entry(self, key: str) -> Entry | None:
        """Return an object as the server has it, None where there is none."""
        found = self._try(lambda: _or_none(self._files.info, f"{self._root}/{key}"))
        return None if found is None else _entry(found)

    def list(self, folder: str = "") -> dict[str, Entry]:
        """Return every object below a folder, by its name under the URL."""
        path = f"{self._root}/{folder}".rstrip("/")
        found = self._try(lambda: _or_none(lambda: self._files.find(path, detail=True))) or {}
        start = len(self._root) + 1
        return {name[start:]: _entry(info) for name, info in found.items() if info.get("type") == "file"}

    def modified(self, key: str) -> datetime | None:
        """Return when an object was put, by the server's clock; None where there is none."""
        return self._try(lambda: _or_none(self._files.modified, f"{self._root}/{key}"))

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        self._try(lambda: _or_none(self._files.rm_file, f"{self._root}/{key}"))

    def _try(self, action: Callable[[], _T], conditional: bool = False) -> _T:
        """Do it, with the errors of libraries and servers turned into ours."""
        try:
            return action()
        except Exception as error:
            if conditional and _is_refusal(error):
                raise ChangedError(str(error)) from error
            found = urls.problem(self.url, error)
            raise (AwayError(str(found)) if urls.is_away(error) else found) from error


class Pool:
    """Threads that work on several objects at once; the first error ends the work."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="neq-copy")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def each(self, work: Callable[[_S], _T], items: list[_S]) -> list[_T]:
        """Return what ``work`` makes of each item, in order."""
        futures = [self._pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def _condition(match: str | None) -> dict[str, str]:
    if match is None:
        return {}
    return {"IfMatch": match} if match else {"IfNoneMatch": "*"}


def _entry(info: Mapping[str, Any]) -> Entry:
    tag = str(info.get("ETag") or info.get("etag") or "")
    md5 = ""
    if info.get("md5Hash"):
        md5 = base64.b64decode(info["md5Hash"]).hex()
    elif re.fullmatch(r"[0-9a-f]{32}", plain := tag.strip('"')):
        md5 = plain
    return Entry(int(info["size"]), tag, md5)


def _is_refusal(error: BaseException) -> bool:
    """Whether the server refused for the condition: another object is there, none is, or one is being put."""
    return urls.is_missing(error) or urls.status(error) in (409, 412)


def _or_none(action: Callable[..., _T], *arguments: Any) -> _T | None:
    """Do it; None where there is no such object. A bucket that is missing is another matter."""
    try:
        return action(*arguments)
    except Exception as error:
        if urls.is_missing(error):
            return None
        raise
