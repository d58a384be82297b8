"""A proxy before an S3 server that makes requests fail as S3's do.

Errors have the form of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html . Signed requests are
forwarded unchanged, with their Host header, so that signatures stay valid. (microburst signs them again, encodes an
encoded query a second time, and drops Content-Length, which obstore needs.)
"""

import http.client
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Rule:
    """Which requests fail, and how."""

    operation: str
    probability: float = 1.0
    #: At most so often.
    times: int | None = None
    #: (status, code) of an error instead of the response.
    error: tuple[int, str] | None = None
    #: The error is sent after the server has executed the request.
    after: bool = False
    #: The connection is reset before anything reaches the server.
    reset: bool = False
    #: The server executes the request, then the connection is reset without a response.
    lost_answer: bool = False
    #: The connection is reset after this share of the response's body, where the request succeeded.
    cut: float | None = None
    #: Minimum and maximum seconds before the request is forwarded.
    latency: tuple[float, float] | None = None


@dataclass
class FaultProxy:
    """A running proxy; ``fired`` are the rules that applied to requests since the last :meth:`faults`."""

    endpoint: str
    fired: list[Rule] = field(default_factory=list)
    _rules: list[Rule] = field(default_factory=list)
    #: With this seed, no event of probability 1/2 happens nine times in a row.
    _chances: random.Random = field(default_factory=lambda: random.Random(0))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def faults(self, *rules: Rule) -> Iterator[None]:
        with self._lock:
            self.fired, self._rules, self._chances = [], list(rules), random.Random(0)
        try:
            yield
        finally:
            with self._lock:
                self._rules = []

    def begin(self, *rules: Rule) -> None:
        """Add rules, until the end of :meth:`faults`."""
        with self._lock:
            self._rules += rules

    def rule_for(self, operation: str) -> Rule | None:
        with self._lock:
            for rule in self._rules:
                if rule.operation != operation or rule.times == 0 or self._chances.random() >= rule.probability:
                    continue
                if rule.times is not None and self.fired.count(rule) >= rule.times:
                    continue
                self.fired.append(rule)
                return rule
        return None


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.upstream = urlsplit(upstream).netloc  # type: ignore[attr-defined]
    proxy = FaultProxy(f"http://127.0.0.1:{server.server_port}")
    server.proxy = proxy  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _operation(method: str, target: str) -> str:
    query = parse_qs(urlsplit(target).query, keep_blank_values=True)
    if method == "GET":
        return "ListObjects" if "list-type" in query else "GetObject"
    if method == "POST":
        named = {"delete": "DeleteObject", "uploads": "CreateMultipartUpload", "uploadId": "CompleteMultipartUpload"}
        return next((name for part, name in named.items() if part in query), "Post")
    if method == "PUT":
        return "UploadPart" if "uploadId" in query else "PutObject"
    return {"HEAD": "HeadObject", "DELETE": "DeleteObject"}[method]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle_expect_100(self) -> bool:
        """Flushed at once: boto3 waits a second for it."""
        goes_on = super().handle_expect_100()
        self.wfile.flush()
        return goes_on

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        rule = self.server.proxy.rule_for(_operation(self.command, self.path))  # type: ignore[attr-defined]
        if rule is None:
            self._answer(*self._forward(body))
            return
        if rule.latency:
            time.sleep(random.uniform(*rule.latency))
        if rule.reset:
            self._reset()
            return
        if rule.error and not rule.after:
            self._answer_error(*rule.error)
            return
        answer = self._forward(body)
        if rule.lost_answer:
            self._reset()
        elif rule.error:
            self._answer_error(*rule.error)
        elif rule.cut is not None and answer[0] < 300:
            self._answer(*answer, share=rule.cut)
            self._reset()
        else:
            self._answer(*answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=60)  # type: ignore[attr-defined]
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, share: float = 1.0) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        given = {name.lower(): value for name, value in headers}.get("content-length")
        length = given if self.command == "HEAD" and given else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body[: int(len(body) * share)])
        self.wfile.flush()

    def _answer_error(self, status: int, code: str) -> None:
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{code}</Message></Error>'
        self._answer(status, [("Content-Type", "application/xml")], text.encode())

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def finish(self) -> None:
        with suppress(OSError, ValueError):  # the connection was reset
            super().finish()

    def log_message(self, *_args: Any) -> None:
        pass
