"""A web server that serves files as a bucket does, with versions, ETags, ranges, and faults as asked.

It runs in a thread of the test, whose end ends it; clients may be other processes.
"""

import contextlib
import dataclasses
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclasses.dataclass
class Fault:
    """What goes wrong with requests whose path ends so; ``times`` of them, then no more."""

    end: str
    kind: str
    times: float = float("inf")
    after: int = 0
    """cut: bytes that are sent. busy: seconds of Retry-After. slow: bytes a second. refused: the status.

    unsized: the answer does not tell its length.
    """
    method: str = "GET"


@dataclasses.dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str
    status: int


class Archive(ThreadingHTTPServer):
    """Serves ``files``: (path, versionId) -> bytes; notes requests in ``log``; without ``ranges`` always whole ones."""

    daemon_threads = True

    def __init__(self, files, faults=(), context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.faults, self.log, self.ranges = dict(files), list(faults), [], True
        self.scheme = "https" if context else "http"
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self):
        return f"{self.scheme}://localhost:{self.server_address[1]}"

    def find(self, path, query):
        """Return the bytes of a path, None where there are none."""
        return self.files.get((path, query.get("versionId", [""])[0]))

    def elsewhere(self, path):
        """Return the URL to which a path is redirected, if it is."""

    def fault(self, method, path):
        for fault in self.faults:
            if fault.times > 0 and fault.method == method and path.endswith(fault.end):
                fault.times -= 1
                return fault
        return Fault("", "none")

    def asked(self, end, method="GET"):
        return [request for request in self.log if request.path.endswith(end) and request.method == method]

    def handle_error(self, request, client_address):
        """A client that goes away is none of our business."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Archive

    def do_HEAD(self):
        self.serve("HEAD")

    def do_GET(self):
        self.serve("GET")

    def serve(self, method):
        url = urlsplit(self.path)
        fault = self.server.fault(method, url.path)
        content = self.server.find(url.path, parse_qs(url.query))
        if fault.kind == "busy":
            return self.answer(503, **{"Retry-After": str(fault.after)})
        if fault.kind == "refused":
            return self.answer(fault.after)
        if fault.kind == "missing":
            return self.answer(404)
        if target := self.server.elsewhere(url.path):
            return self.answer(302, Location=target)
        if content is None:
            return self.answer(404)
        if fault.kind == "wrong":
            content = content[:-1] + bytes([content[-1] ^ 1])
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        start = self.start(etag) if self.server.ranges else 0
        if start > len(content) or (start and start == len(content)):
            return self.answer(416, **{"Content-Range": f"bytes */{len(content)}"})
        more = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        length = None if fault.kind == "unsized" else len(content) - start
        self.answer(206 if start else 200, length, ETag=etag, **more)
        if method == "GET":
            self.send(content[start:], fault)
        return None

    def start(self, etag):
        """Return where the answer begins."""
        wanted = self.headers.get("Range", "")
        if not wanted or self.headers.get("If-Range", etag) != etag:
            return 0
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def answer(self, status, length=0, **headers):
        self.server.log.append(Request(self.command, urlsplit(self.path).path, self.headers.get("Range", ""), status))
        self.send_response(status)
        known = {"Connection": "close"} if length is None else {"Content-Length": str(length)}
        for name, value in {**headers, **known}.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, content, fault):
        if fault.kind == "cut":
            self.wfile.write(content[: fault.after])
            self.close_connection = True
            self.connection.close()
            return
        step = max(1, fault.after // 20) if fault.kind == "slow" else len(content)
        for place in range(0, len(content), step):
            self.wfile.write(content[place : place + step])
            if fault.kind == "slow":
                time.sleep(step / fault.after)

    def log_message(self, *arguments):
        """Say nothing."""


@contextlib.contextmanager
def serving(files, faults=(), context=None, kind=Archive):
    """Serve files while the block runs; gives the :class:`Archive`."""
    with kind(files, faults, context) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
