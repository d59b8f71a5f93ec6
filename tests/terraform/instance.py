"""The parts of an instance that user data and the daemon use: its own /etc, a systemctl, an agent."""

import http.server
import json
import os
import shutil
import socketserver
import subprocess
import threading
from pathlib import Path
from typing import Any

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
BIN = os.environ["DRAINHOOK_BIN"]

# $1 is the folder, the rest is the command. It runs in its own mount namespace.
ENTER = 'mount --bind "$1/etc" /etc; shift; exec "$@"'

# The namespace has no systemd. This script logs the call, and the test does what systemd would.
SYSTEMCTL = """#!/bin/sh
echo "$*" >>"${0%/bin/systemctl}/systemctl.log"
"""


class Instance:
    """Runs commands as root on an instance that has the package. The host's /etc does not change."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder = folder
        configuration = folder / "etc" / "drainhook"
        configuration.mkdir(parents=True)
        shutil.copyfile(SYSTEMD / "drainhook.toml", configuration / "drainhook.toml")
        systemctl = folder / "bin" / "systemctl"
        systemctl.parent.mkdir()
        systemctl.write_text(SYSTEMCTL)
        systemctl.chmod(0o755)
        self.environment = environment | {"PATH": f"{systemctl.parent}:{os.environ['PATH']}"}

    def command(self, *command: str) -> list[str]:
        return ["unshare", "--mount", "--map-root-user", "bash", "-ec", ENTER, "enter", str(self.folder), *command]

    def run(self, *command: str) -> str:
        """Runs a command that must succeed. Returns its standard output."""
        done = subprocess.run(
            self.command(*command),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def boot(self, user_data: str) -> list[str]:
        """Runs user data as cloud-init does: as a script, by its first line. Returns its calls of systemctl."""
        script = self.folder / "user-data"
        script.write_text(user_data)
        script.chmod(0o700)
        self.run(str(script))
        return (self.folder / "systemctl.log").read_text().splitlines()


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class Agent:
    """An agent on a Unix socket with one piece of work. The test sets `finished` to end it."""

    def __init__(self, socket: str):
        self.told = threading.Event()
        self.finished = threading.Event()
        self.server = UnixServer(socket, self.handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def status(self) -> dict[str, Any]:
        if not self.told.is_set():
            return {"state": "serving", "in_flight": 1}
        if not self.finished.is_set():
            return {"state": "draining", "in_flight": 1}
        return {"state": "drained", "in_flight": 0}

    def handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        agent = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(agent.status()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                agent.told.set()
                self.do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
