"""Loopback servers that count, record and hold requests."""

import contextlib
import http.client
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}

# Longer than any test holds an answer.
UPSTREAM_SECONDS_MAX = 60

# How often a server checks whether it should close. The default is half a second.
SHUTDOWN_POLL_SECONDS = 0.02


class CountingListener:
    """Accepts connections, counts them, and hangs up."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self):
        self.socket.close()


@dataclass
class Exchange:
    """A request and its answer. The status is 0 until the answer is there. Header names are in lower case."""

    method: str
    path: str
    headers: dict
    body: bytes
    begun: float = field(default_factory=time.monotonic)
    status: int = 0
    answer_headers: dict = field(default_factory=dict)
    answer: bytes = b""
    ended: float = 0


def ask(address, method, path, headers, body):
    """Makes one request on its own connection. Returns the status, headers and body of the answer."""
    connection = http.client.HTTPConnection(address, timeout=UPSTREAM_SECONDS_MAX)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


class Server:
    """An HTTP server whose handler answers every method."""

    def __init__(self, answer):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_all(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                try:
                    status, headers, content = answer(self.command, self.path, headers, body)
                    self.send_response_only(status)
                    for name, value in headers.items():
                        if name not in HOP_BY_HOP:
                            self.send_header(name, value)
                    self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:  # one side has closed its connection, so close the other one
                    self.close_connection = True

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_CONNECT = handle_all

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(SHUTDOWN_POLL_SECONDS,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class RecordingProxy(Server):
    """Forwards HTTP requests to another server, and records them."""

    def __init__(self, upstream):
        self.exchanges = []
        self.address = urlsplit(upstream).netloc
        super().__init__(self.forward)

    def forward(self, method, path, headers, body):
        exchange = Exchange(method, path, headers, body)
        self.exchanges.append(exchange)
        passed_on = {name: value for name, value in headers.items() if name not in HOP_BY_HOP}
        answer = ask(self.address, method, path, passed_on, body)
        exchange.ended = time.monotonic()
        _, exchange.answer_headers, exchange.answer = answer
        exchange.status = answer[0]  # last, because a status means that the other fields are set
        return answer


class Receiver(Server):
    """A webhook that workers deliver to. Tests can hold its answers."""

    def __init__(self):
        self.delivered = []  # (task, item), in the order of the answers
        self.held = set()
        self.holds = lambda item: False
        self.changed = threading.Condition()
        super().__init__(self.deliver)

    def deliver(self, _method, path, _headers, body):
        delivery = (path.strip("/"), json.loads(body))
        with self.changed:
            self.held.add(delivery)
            self.changed.wait_for(lambda: not self.holds(delivery[1]))
            self.held.discard(delivery)
            self.delivered.append(delivery)
        return 200, {}, b""

    def hold(self, holds):
        """Holds deliveries of items for which `holds` returns true, until `release`."""
        self.holds = holds

    def release(self):
        with self.changed:
            self.holds = lambda item: False
            self.changed.notify_all()

    def close(self):
        self.release()
        super().close()
