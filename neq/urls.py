"""Places on object stores: what is a URL, how it is opened, and what its errors mean."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from typing import Any

from .errors import StoreError

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
"""Protocol -> extra of this package that brings what fsspec needs for it."""
_NOT_REACHED = re.compile(r"Connect|Timeout|Disconnected|DNS|gaierror|SSLError|HTTPClientError|IncompleteRead")
_NO_CREDENTIALS = re.compile(r"Credential|ProfileNotFound|TokenRetrieval|SSOToken|RefreshError")
_REFUSED_KEYS = re.compile(r"InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|AuthorizationHeader")


def is_url(text: object) -> bool:
    """Whether ``text`` names a place that fsspec opens, and not a file of this machine.

    Examples
    --------
    >>> is_url("s3://bucket/lab/demo"), is_url("results/demo"), is_url("file:///results/demo")
    (True, False, False)
    """
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text) if isinstance(text, str) else None
    return found is not None and found[1].lower() not in ("file", "local")


def last_part(url: str) -> str:
    """Return the last part of a URL: the name of the run that is kept there.

    Examples
    --------
    >>> last_part("s3://bucket/lab/demo/")
    'demo'
    """
    return url.rstrip("/").rsplit("/", 1)[-1]


def filesystem(url: str) -> tuple[Any, str]:
    """Return the fsspec filesystem of a URL, and the path in it.

    Credentials and endpoint come from the places where the protocol's own library looks for them.

    Raises
    ------
    StoreError
        Nothing that is installed knows the protocol.
    """
    import fsspec

    try:
        filesystem, path = fsspec.url_to_fs(url.rstrip("/"), use_listings_cache=False, skip_instance_cache=True)
    except Exception as error:
        raise problem(url, error) from error
    return filesystem, str(path)


def problem(url: str, error: BaseException) -> StoreError:
    """Return the error for a place that cannot be used: what is wrong, in one sentence, and the remedy.

    Examples
    --------
    >>> print(problem("s3://bucket/demo", PermissionError("Access Denied")))
    s3://bucket/demo: permission denied (Access Denied): ask for the right to read, write and list there.
    """
    protocol, place = url.split("://", 1)
    return StoreError(f"{url}: {_sentence(protocol.lower(), place.split('/')[0], error)}")


def is_away(error: BaseException) -> bool:
    """Whether an error means that the server was not reached, or could not serve: worth another try later."""
    kinds = {type(one).__name__ for one in _chain(error)}
    code = status(error)
    away = any(_NOT_REACHED.search(kind) for kind in kinds) or isinstance(error, ConnectionError | TimeoutError)
    return away or (code is not None and code >= 500)


def is_missing(error: BaseException) -> bool:
    """Whether an error means that there is no such object; a bucket that is missing is another matter."""
    return isinstance(error, FileNotFoundError) and "bucket does not exist" not in str(error)


def _sentence(protocol: str, bucket: str, error: BaseException) -> str:
    kinds = " ".join(type(one).__name__ for one in _chain(error))
    text = " ".join(str(error).split())[:200].rstrip(".")
    if isinstance(error, ImportError) or (isinstance(error, ValueError) and "rotocol" in text):
        return _missing_package(protocol, text)
    if _NO_CREDENTIALS.search(kinds):
        return f"no credentials were found ({text}): set AWS_PROFILE or what the service asks for."
    if _REFUSED_KEYS.search(f"{kinds} {' '.join(str(one) for one in _chain(error))}"):
        return f"the server refused the credentials ({text}): mend them, or choose others with AWS_PROFILE."
    if isinstance(error, PermissionError):
        return f"permission denied ({text or 'no reason given'}): ask for the right to read, write and list there."
    if isinstance(error, FileNotFoundError) and "bucket does not exist" in text:
        return f"there is no bucket {bucket}: make it, neq makes none."
    if is_away(error):
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        where = f"; AWS_ENDPOINT_URL is {endpoint}" if endpoint and protocol.startswith("s3") else ""
        return f"the server cannot be reached ({text}{where}): see that it runs and give the same command again."
    return f"{type(error).__name__}: {text}."


def _missing_package(protocol: str, text: str) -> str:
    extra = _EXTRAS.get(protocol)
    if extra is None:
        return f"fsspec cannot open {protocol}:// here ({text}): install the package it names, or use s3:// or gs://."
    package = {"s3": "s3fs", "gs": "gcsfs"}[extra]
    found = "is installed but cannot be imported" if importlib.util.find_spec(package) else "is not installed"
    return f"{protocol}:// needs the package {package}, which {found}: pip install 'neq[{extra}]'."


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def status(error: BaseException) -> int | None:
    """Return the HTTP status that an error carries, if any."""
    for one in _chain(error):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            code = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return int(code) if code is not None else None
        if isinstance(code := getattr(one, "code", None), int):
            return code
    return None
