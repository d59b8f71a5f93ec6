"""Runs programs in a pseudo-terminal with a model of its screen."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

import pyte

ROWS = 24
# Time limit for any of these programs, in seconds of real time.
PATIENCE = 120


class Terminal:
    """A program in a terminal of `columns` x 24 characters. Rows that have scrolled off are kept."""

    def __init__(self, arguments, columns, environment=None):
        self.columns = columns
        self.screen = pyte.HistoryScreen(columns, ROWS, history=2000, ratio=1.0)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        variables = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "HOME": "/nonexistent", "LANG": "C.UTF-8"}
        variables.update(environment or {})
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            # Set the size before the program reads it.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
            os.execve(arguments[0], arguments, variables)
        self.code = None

    def _read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:
            # Linux reports the end of a pseudo-terminal as an error.
            return False
        self.raw += data
        self.stream.feed(data)
        return bool(data)

    def until(self, seen):
        """Reads until `seen` returns true for the rows."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if seen(self.rows()):
                return
            assert self._read(0.2), f"the program ended:\n{self.text()}"
        raise AssertionError(f"timed out:\n{self.text()}")

    def finish(self):
        """Reads until the program exits, and sets `code` to its exit code."""
        end = time.monotonic() + PATIENCE
        while self._read(0.2):
            assert time.monotonic() < end, f"the program does not end:\n{self.text()}"
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.master)
        return self

    def interrupt(self):
        """Presses Ctrl-C."""
        os.write(self.master, b"\x03")

    def signal(self, number=signal.SIGTERM):
        os.kill(self.pid, number)

    def rows(self):
        """All rows so far, including those that have scrolled off."""
        above = ["".join(row[column].data for column in range(self.columns)) for row in self.screen.history.top]
        rows = [row.rstrip() for row in above + list(self.screen.display)]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def text(self):
        return "\n".join(self.rows()) + "\n"
