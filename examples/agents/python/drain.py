"""The agent protocol of drainhook: counts a worker's work in flight, and serves its state over HTTP.

Copy this file; it needs only the standard library. docs/agent-protocol.md says what drainhook does with each response.
"""

import collections
import contextlib
import json
import math
import re
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAIT_SECONDS_MAX = 60
BODY_BYTES_MAX = 64 * 1024


class Drain:
    """Whether work may be taken, and how much is in flight. Every method may be called from any thread."""

    def __init__(self):
        self._changed = threading.Condition()
        self._draining = False
        self._deadline = math.inf  # Unix seconds
        self._stopping = False
        self._stop_by = math.inf
        self._taking = 0
        self._in_flight = 0
        self._gauges = collections.Counter()

    @contextlib.contextmanager
    def taking(self):
        """Waits until work may be taken. No drain ends while a thread is in this block, because it may bring work."""
        with self._changed:
            self._changed.wait_for(lambda: self._state() == "serving")
            self._taking += 1
        try:
            yield
        finally:
            with self._changed:
                self._taking -= 1
                self._changed.notify_all()

    def hold(self):
        """Counts a piece of work as in flight. False if a drain has begun meanwhile: give the work back."""
        with self._changed:
            self._in_flight += 1
            return self._state() == "serving"

    def release(self, outcome):
        """Ends a piece of work, and counts it in the gauge of that name, such as "tasks_done"."""
        with self._changed:
            self._in_flight -= 1
            self._gauges[outcome] += 1
            self._changed.notify_all()

    def seconds_left(self):
        """Seconds until the deadline; infinite without one."""
        with self._changed:
            return min(self._deadline, self._stop_by) - time.time()

    def begin(self, deadline):
        """Stops taking work. If called again, replaces the deadline."""
        with self._changed:
            self._draining, self._deadline = True, deadline
            self._changed.notify_all()

    def withdraw(self):
        """Takes work again. False if the process is stopping, which cannot be withdrawn."""
        with self._changed:
            self._draining, self._deadline = False, math.inf
            self._changed.notify_all()
            return not self._stopping

    def stop(self, seconds):
        """Drains for good, and waits until no work is in flight."""
        with self._changed:
            self._stopping, self._stop_by = True, time.time() + seconds
            self._changed.notify_all()
        self.wait_while_draining(None)

    def wait_while_draining(self, seconds):
        """Waits for at most this long; None means forever. Returns at once without a drain."""
        with self._changed:
            self._changed.wait_for(lambda: self._state() != "draining", seconds)

    def status(self):
        """The status document."""
        with self._changed:
            return {"state": self._state(), "in_flight": self._in_flight, "gauges": dict(self._gauges)}

    def _state(self):
        if not self._draining and not self._stopping:
            return "serving"
        return "draining" if self._taking or self._in_flight else "drained"


class Handler(BaseHTTPRequestHandler):
    """Serves the drain of its server."""

    protocol_version = "HTTP/1.1"  # keeps one connection for a whole drain
    disable_nagle_algorithm = True  # otherwise the last response waits for an acknowledgment

    def post_drain(self, body):
        try:
            deadline = read_deadline(body)
        except ValueError as error:
            return self.answer(400, {"error": str(error)})
        self.log_message("asked to drain: %s", body.decode(errors="replace"))
        self.server.drain.begin(deadline)
        return self.answer(202, self.server.drain.status())

    def get_drain(self, _):
        wait = re.search(r"(?:^|,)\s*wait=(\d+)", self.headers.get("Prefer", ""))
        status = self.server.drain.status()
        if not wait or status["state"] != "draining":
            return self.answer(200, status)
        seconds = min(int(wait[1]), WAIT_SECONDS_MAX)
        self.server.drain.wait_while_draining(seconds)
        return self.answer(200, self.server.drain.status(), {"Preference-Applied": f"wait={seconds}"})

    def delete_drain(self, _):
        if self.server.drain.withdraw():
            return self.answer(200, self.server.drain.status())
        return self.answer(503, {"error": "this process is stopping"})

    def get_health(self, _):
        return self.answer(200, {"healthy": True})

    ROUTES = {
        "/drain": {"POST": post_drain, "GET": get_drain, "DELETE": delete_drain},
        "/health": {"GET": get_health},
    }

    def dispatch(self):
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            return self.answer(413, {"error": f"Content-Length is {length}; at most {BODY_BYTES_MAX}"})
        body = self.rfile.read(int(length))
        methods = self.ROUTES.get(self.path.partition("?")[0])
        if methods is None:
            return self.answer(404, {"error": f"unknown path {self.path}"})
        if self.command not in methods:
            return self.answer(405, {"error": f"{self.command} is not allowed"}, {"Allow": ", ".join(methods)})
        return methods[self.command](self, body)

    do_GET = do_POST = do_PUT = do_DELETE = dispatch

    def answer(self, status, document, headers=()):
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        with contextlib.suppress(ConnectionError):  # the client may be gone
            self.end_headers()
            self.wfile.write(body)

    def log_request(self, *_):
        pass  # status requests would fill the log


def read_deadline(body):
    """The deadline of a drain request in Unix seconds; infinite if it has none."""
    order = json.loads(body or "{}")  # raises a ValueError
    if not isinstance(order, dict):
        raise ValueError("expected a JSON object")
    text = order.get("deadline")
    if text is None:
        return math.inf
    if not isinstance(text, str):
        raise ValueError(f"the deadline is {text}; expected a timestamp (RFC 3339) or null")
    deadline = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if deadline.tzinfo is None:
        raise ValueError(f"the deadline {text} has no UTC offset")
    return deadline.timestamp()


def serve(drain, port):
    """Serves the agent protocol on loopback, in its own threads. Returns the port; port 0 picks a free one."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.drain = drain
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port
