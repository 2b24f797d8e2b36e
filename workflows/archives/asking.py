"""Questions to a server: what is an answer, what is worth asking again, and with how much patience."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import requests
from urllib3.exceptions import InvalidHeader, MaxRetryError
from urllib3.util import Retry

import neq
from neq.errors import FetchError
from workflows.progress import duration

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

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
        raise problem(url, error) from error
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


def problem(url: str, error: requests.RequestException) -> Exception:
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
