"""One file over HTTP: from where the last transfer stopped, with patience for servers that are busy or cut off."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import requests
from urllib3.exceptions import InvalidHeader, MaxRetryError
from urllib3.util import Retry

import neq
from neq.errors import FetchError
from workflows.progress import duration

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

CHUNK = 1 << 16
"""Bytes that are written at once, and lost where a connection is cut."""
TIMEOUT = (20.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""
LONGEST_WAIT = 900.0
"""A server that asks for more patience (s) is left alone."""
RETRY = Retry(total=6, backoff_factor=1.0, backoff_max=60.0, backoff_jitter=1.0)
"""How often and when to try again; anew after each try that brought something."""
ASKED_AT_ONCE = 4
"""Small questions; files have a number of their own."""
BUSY = (408, 425, 429, 500, 502, 503, 504)


class Later(Exception):
    """The server did not give what it should; it may if asked again."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Refused(FetchError):
    """The server knows no such file, or does not give it; ``status`` is what it answered."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


class Halted(Exception):
    """Nothing more is to be fetched."""


@dataclass(frozen=True)
class Client:
    """How to ask: the connections, the patience, and what stops it all."""

    retry: Retry = RETRY
    stop: threading.Event = field(default_factory=threading.Event)
    note: Callable[[str], None] = lambda text: None
    """Takes a line that says why there is a pause."""
    session: requests.Session = field(default_factory=requests.Session)


def ask(client: Client, method: str, url: str, **headers: str) -> requests.Response:
    """Return the answer of a server, its body yet to be read.

    Raises
    ------
    Refused, FetchError
        It will not answer otherwise, however often it is asked.
    Later
        It may.
    """
    try:
        answer = client.session.request(
            method,
            url,
            headers={"Accept-Encoding": "identity", "User-Agent": f"neq/{neq.__version__}", **headers},
            stream=True,
            timeout=TIMEOUT,
            allow_redirects=True,
        )
    except requests.RequestException as error:
        raise _problem(url, error) from error
    if answer.status_code in BUSY:
        answer.close()
        raise Later(f"{answer.status_code} {answer.reason}", _retry_after(client, answer))
    if answer.status_code >= 400 and answer.status_code != 416:
        answer.close()
        raise Refused(f"{url}: the server answers {answer.status_code} {answer.reason}", answer.status_code)
    return answer


def patiently(
    client: Client, url: str, attempt: Callable[[], Answer], reached: Callable[[], int] = lambda: 0
) -> Answer:
    """Return what ``attempt`` returns, tried again while it raises :class:`Later`.

    Parameters
    ----------
    client, url
        How and what is asked.
    attempt
        Asks once.
    reached
        How much is there; patience begins anew where it is more than ever.

    Raises
    ------
    FetchError
        It failed too often without bringing anything.
    """
    retry, most = client.retry, reached()
    while True:
        try:
            return attempt()
        except Later as later:
            if reached() > most:
                retry, most = client.retry, reached()
            retry = _one_less(client, retry, url, later)
            wait = later.after or retry.get_backoff_time()
            if wait >= 1:
                client.note(f"{url}: {later}; tried again in {wait:.0f} s")
            if client.stop.wait(wait):
                raise Halted from None


def receive(client: Client, url: str, part: Path, size: int | None, etag: str, tell: Callable[[int], None]) -> None:
    """Bring the bytes of a URL into ``part``, from where it ends.

    Parameters
    ----------
    client
        How to ask.
    url, size, etag
        The file; size and ETag where they are known. A server whose file has another ETag by now sends it whole.
    part
        Where to; what is there is the beginning.
    tell
        Called with the bytes there are.

    Raises
    ------
    FetchError, OSError
        The server, or the disk, gives up.
    """
    patiently(client, url, lambda: _once(client, url, part, size, etag, tell), lambda: length(part))


def at_once(client: Client, attempt: Callable[[Asked], Answer], things: Sequence[Asked]) -> list[Answer]:
    """Return what a server answers to each of some things, a few asked at a time.

    Raises
    ------
    Exception
        What ``attempt`` raises first; those that wait for the server then wait no longer.
    """
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        try:
            return list(pool.map(attempt, things))
        except BaseException:
            client.stop.set()
            raise


def length(path: Path) -> int:
    """Return how long a file is, 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:  # also a path that cannot be one
        return 0


def _once(client: Client, url: str, part: Path, size: int | None, etag: str, tell: Callable[[int], None]) -> None:
    start = length(part)
    if start and start == size:
        return
    if size is not None and start > size:
        part.unlink()
        start = 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and etag and not etag.startswith("W/"):
        headers["If-Range"] = etag
    with ask(client, "GET", url, **headers) as answer:
        goes_on = _goes_on(answer, part, start)
        if size is not None and (total := _total(answer)) not in (None, size):
            raise FetchError(f"{url}: the server has {total} bytes, {_announced(size)}")
        _write(client, answer, part, "ab" if goes_on else "wb", tell)
    if size is not None and (came := length(part)) != size:
        if came < size:
            raise Later(f"the answer ended after {came} of {size} bytes")
        part.unlink()
        raise FetchError(f"{url}: {came} bytes came, {_announced(size)}")


def _total(answer: requests.Response) -> int | None:
    """Return how long the whole file is, where the server tells it."""
    if answer.status_code == 206:
        told = answer.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        told = answer.headers.get("Content-Length", "")
    return int(told) if told.isdigit() else None


def _announced(size: int) -> str:
    return f"{size} were announced; give the command again, which asks anew"


def _goes_on(answer: requests.Response, part: Path, start: int) -> bool:
    """Whether the answer begins where the part ends, and not at the beginning of the file."""
    if start and (answer.status_code == 416 or answer.status_code == 206):
        if answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            return True
        part.unlink()
        raise Later("the server cannot go on where the last transfer stopped")
    return False


def _write(client: Client, answer: requests.Response, part: Path, mode: str, tell: Callable[[int], None]) -> None:
    with part.open(mode) as file:
        try:
            for piece in answer.iter_content(CHUNK):
                if client.stop.is_set():
                    raise Halted
                file.write(piece)
                tell(file.tell())
            file.flush()
            os.fsync(file.fileno())
        except requests.RequestException as error:
            raise _problem(answer.url, error) from error


def _one_less(client: Client, retry: Retry, url: str, later: Later) -> Retry:
    try:
        fewer = retry.increment("GET", url, error=later)
    except MaxRetryError as error:
        raise FetchError(
            f"{url}: {later}, {len(retry.history) + 1} times in a row; see whether this machine reaches it"
        ) from error
    if later.after and later.after > LONGEST_WAIT:
        raise FetchError(f"{url}: {later}, and the server asks for more than {duration(LONGEST_WAIT)} of patience")
    return fewer


def _retry_after(client: Client, answer: requests.Response) -> float | None:
    try:
        return client.retry.get_retry_after(answer.raw)
    except InvalidHeader:
        return None


def _problem(url: str, error: requests.RequestException) -> Exception:
    """Return the error to raise for one of requests: to be tried again, or not."""
    chain: list[BaseException] = [error]
    while (deeper := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(deeper)
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in chain):
        return FetchError(
            f"{url}: the server's certificate is not trusted here ({chain[-1]}); name the file of your site's "
            "authorities in REQUESTS_CA_BUNDLE"
        )
    if isinstance(error, requests.Timeout):
        return Later("no answer in time")
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        said = [text for one in chain if (text := getattr(one, "strerror", None))]
        return Later(f"the connection failed ({said[-1] if said else type(chain[-1]).__name__})")
    return FetchError(f"{url}: {error}")
