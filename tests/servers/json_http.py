"""The protocol of the stand-ins for AWS's services: JSON 1.1 over HTTP, as unchanged boto3 clients speak it.

The protocol is specified in https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html .
"""

import json
import socket
import struct
import threading
import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

from tests.servers.processes import HOST

__all__ = ["JsonService", "Refused", "Reset"]


class Refused(Exception):  # noqa: N818
    """An error of the service; ``members`` are further members of the response."""

    def __init__(self, code: str, message: str, status: int = 400, **members: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.members = members


class Reset(Exception):  # noqa: N818
    """The connection is reset without a response."""


class JsonService:
    """A server that runs from ``start`` to ``stop``, or as a context manager. ``respond`` is the service itself."""

    port: int = 0
    #: The member of an error with its text.
    message_member: ClassVar[str] = "message"
    _server: "_Server"

    def respond(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Raises :class:`Refused` and :class:`Reset`."""
        raise NotImplementedError

    def start(self) -> Self:
        self._server = _Server((HOST, self.port), _Handler)
        self._server.service = self
        self.port = self._server.server_port  # where a later start listens too
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    service: JsonService


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: Buffered, so that head and body are one packet: a second one would wait 40 ms for the first one's ACK.
    wbufsize = -1
    server: _Server

    def do_POST(self) -> None:
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            self._answer(200, self.server.service.respond(operation, request))
        except Refused as refusal:
            error = {"__type": refusal.code, self.server.service.message_member: str(refusal)}
            self._answer(refusal.status, error | refusal.members)
        except Reset:
            # with RST instead of FIN
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
