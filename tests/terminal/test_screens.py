"""All output fits its window. No line is garbled or lost."""

import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import pytest

from terminal import PATIENCE, Terminal

DRAINHOOK = os.environ["DRAINHOOK_BIN"]
SCREENS = pathlib.Path(__file__).parent / "screens"
WIDTHS = [40, 60, 80, 100, 160]

# A line of the timeline begins with its time.
STAMP = re.compile(r"^ *\d+\.\d s  ")
BAR = re.compile("[█░]")
# The live line has the work in flight right after the time.
LIVE = re.compile(r"\d+\.\d s ([█░]+ )?\d+ in flight")


def keep(name, columns, text, update):
    """Compares a screen with the one in the repository."""
    path = SCREENS / f"{name}-{columns}.txt"
    if update:
        path.write_text(text)
    assert path.read_text() == text, f"{path} differs; if this is intended, run tests/terminal/run --update"


def story(rows):
    """The lines of the timeline. A line that was broken into rows is joined again."""
    lines = []
    for row in rows:
        if STAMP.match(row):
            lines.append(" ".join(row.split()))
        elif lines and row.startswith("   "):
            lines[-1] += " " + " ".join(row.split())
        elif lines and row.strip():
            break
    return lines


def assert_whole(rows):
    """Asserts that the rows are a complete scale-in scenario: every line of the timeline once, in order, and no live line."""
    lines = story(rows)
    assert not any(BAR.search(row) for row in rows) and not any(LIVE.match(line) for line in lines), rows
    finished = [int(line.split("finished ")[1].split()[0]) for line in lines if "work finished" in line]
    assert finished == [7, 6, 5, 4, 3, 2, 1, 0], lines
    for once in ["scale-in", "IMDS target-lifecycle-state: Terminated", "POST /drain", "agent drained", "completed hook drain, CONTINUE",
                 "message deleted", "Terminated 0 work items lost"]:
        assert sum(once in line for line in lines) == 1, (once, lines)
    joined = " ".join(" ".join(row.split()) for row in rows)
    assert "✗" not in joined and "scale-in: passed" in joined, rows


@pytest.mark.parametrize("columns", WIDTHS)
def test_live_view(columns, update):
    """The first command of the README. During the run the live line fits the window. At the end it is gone."""
    terminal = Terminal([DRAINHOOK, "simulate", "--speed", "10"], columns)
    terminal.until(lambda rows: any("work finished" in row for row in rows) and "in flight" in rows[-1] and "work" not in rows[-1])
    live = terminal.rows()[-1]
    assert live.lstrip()[0].isdigit() and "in flight" in live and len(live) < columns, live
    assert ("█" in live or "░" in live) == (columns >= 100), live
    assert ("deadline in" in live) == (columns >= 60), live
    middle = terminal.text()
    terminal.finish()
    assert terminal.code == 0, terminal.text()
    assert_whole(terminal.rows())
    if update:
        # For people only. The times differ from run to run, so these files are not compared.
        (SCREENS / f"live-{columns}.txt").write_text(middle)
        (SCREENS / f"end-{columns}.txt").write_text(terminal.text())


def test_resize():
    """The window becomes narrower and wider during the run. tmux rewraps lines on a resize, as most terminals do."""
    server = f"drainhook-{os.getpid()}"

    def tmux(*arguments):
        return subprocess.run(["tmux", "-L", server, "-f", "/dev/null", *arguments], check=True, capture_output=True, text=True).stdout

    def rows():
        # -J joins rows that the terminal has wrapped.
        return tmux("capture-pane", "-p", "-J", "-S", "-2000", "-t", "it").split("\n")

    def until(seen):
        end = time.monotonic() + PATIENCE
        while not seen(rows()):
            assert time.monotonic() < end, rows()
            time.sleep(0.05)

    tmux("new-session", "-d", "-s", "it", "-x", "160", "-y", "24", f"{DRAINHOOK} simulate; sleep 600")
    try:
        for finished, columns in [(7, 60), (5, 100), (3, 45), (1, 120)]:
            until(lambda rows: any(re.search(rf"work finished +{finished} in flight", row) for row in rows))
            tmux("resize-window", "-t", "it", "-x", str(columns), "-y", "24")
        until(lambda rows: any("scale-in: passed" in row for row in rows))
        assert_whole([row.rstrip() for row in rows()])
    finally:
        tmux("kill-server")


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("name, arguments", [
    ("help", ["--help"]),
    ("help-simulate", ["simulate", "--help"]),
    ("scenarios", ["simulate", "--list"]),
    ("presets", ["presets"]),
])
def test_help_and_lists(name, arguments, columns, update):
    terminal = Terminal([DRAINHOOK, *arguments], columns).finish()
    assert terminal.code == 0
    plain = subprocess.run([DRAINHOOK, *arguments], capture_output=True, text=True, check=True).stdout
    # No text is lost. Words may be broken if they are wider than their column.
    assert "".join(terminal.text().split()) == "".join(plain.split())
    keep(name, columns, terminal.text(), update)


def test_no_color():
    colored = Terminal([DRAINHOOK, "simulate", "--speed", "20"], 80).finish()
    assert b"\x1b[38;5;10m\xe2\x9c\x93" in colored.raw or b"\x1b[32m\xe2\x9c\x93" in colored.raw, colored.raw[-2000:]
    plain = Terminal([DRAINHOOK, "simulate", "--speed", "20"], 80, {"NO_COLOR": "1"}).finish()
    assert not re.search(rb"\x1b\[[0-9;]*m", plain.raw), plain.raw
    assert_whole(plain.rows())


def test_dumb_terminal():
    """Plain lines, without any escape sequence."""
    terminal = Terminal([DRAINHOOK, "simulate", "--speed", "20"], 80, {"TERM": "dumb"}).finish()
    assert b"\x1b" not in terminal.raw, terminal.raw
    assert_whole(terminal.rows())


def test_interrupt():
    """Ctrl-C clears the live line, and the exit code is 130."""
    terminal = Terminal([DRAINHOOK, "simulate"], 80)
    terminal.until(lambda rows: any("work finished" in row for row in rows) and "in flight" in rows[-1])
    terminal.interrupt()
    terminal.finish()
    assert terminal.code == 130
    assert terminal.rows()[-1].endswith("drainhook: interrupted"), terminal.text()
    assert not any(BAR.search(row) for row in terminal.rows()), terminal.text()


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_fleet(columns):
    """The command shows its progress during the run, and removes it at the end. Every row fits."""
    terminal = Terminal([DRAINHOOK, "simulate", "--instances", "20", "--seeds", "40"], columns)
    terminal.until(lambda rows: rows and re.search(r"\b\d+ of 40\b", rows[-1]))
    terminal.finish()
    assert terminal.code == 0, terminal.text()
    # The progress line is gone. It counts finished seeds, and the summary has all of them.
    assert not re.search(r"^\s*[1-9]\d? of 40 ", terminal.text(), re.M), terminal.text()
    assert "violat" in terminal.text(), terminal.text()


def test_interrupted_fleet():
    """Ctrl-C prints the results of the finished seeds."""
    terminal = Terminal([DRAINHOOK, "simulate", "--instances", "20", "--seeds", "100000"], 80)
    terminal.until(lambda rows: rows and re.search(r"\b[2-9]\d* of 100,?000\b", rows[-1]))
    terminal.interrupt()
    terminal.finish()
    assert terminal.code == 130, terminal.text()
    assert re.search(r"interrupted after \d+ of 100,?000 seeds", terminal.text()), terminal.text()


@pytest.fixture
def daemon(tmp_path):
    """The environment of a daemon that watches a simulated instance."""
    variables = tmp_path / "aws.env"
    serve = subprocess.Popen([DRAINHOOK, "simulate", "--serve", "--env-file", str(variables)], stdout=subprocess.PIPE, text=True)
    while "ready" not in serve.stdout.readline():
        assert serve.poll() is None
    sourced = subprocess.run(["sh", "-c", f". {variables} && env"], capture_output=True, text=True, check=True).stdout
    environment = dict(line.split("=", 1) for line in sourced.splitlines() if line.startswith(("AWS_", "DRAINHOOK_")))
    environment["PATH"] = os.environ["PATH"]
    run = subprocess.Popen([DRAINHOOK, "run"], env=environment, stderr=subprocess.PIPE, text=True)
    while "is watching" not in run.stderr.readline():
        assert run.poll() is None
    threading.Thread(target=run.stderr.read, daemon=True).start()
    yield environment
    for program in run, serve:
        program.terminate()
        program.wait()


@pytest.mark.parametrize("columns", WIDTHS)
def test_check_and_status(columns, daemon):
    """No word is lost in a narrow window."""
    # Remove ages, which change from one moment to the next.
    plain = lambda text: "".join(re.sub(r"\d+(s|ms)? ago", "", " ".join(text.split()).replace("\\ ", "")).split())
    for command in "check", "status":
        terminal = Terminal([DRAINHOOK, command], columns, daemon).finish()
        piped = subprocess.run([DRAINHOOK, command], env=daemon, capture_output=True, text=True)
        assert terminal.code == piped.returncode == 0, terminal.text() + piped.stdout
        assert plain(terminal.text()) == plain(piped.stdout), terminal.text() + piped.stdout


class Agent(http.server.BaseHTTPRequestHandler):
    """An agent with one work item that never finishes."""

    state = "serving"

    def answer(self, state=None):
        Agent.state = state or Agent.state
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"state": Agent.state, "in_flight": 1}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer("draining")

    def do_DELETE(self):
        self.answer("serving")

    def log_message(self, *_):
        pass


@pytest.fixture
def agent():
    """The address of an agent that never drains."""
    Agent.state = "serving"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Agent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_own_agent_that_does_not_drain(agent):
    """The live line counts down to the deadline. The verdict says what to change."""
    terminal = Terminal([DRAINHOOK, "simulate", "--agent", agent], 80, {"DRAINHOOK_AGENT__DRAIN_TIMEOUT": "4s"})
    terminal.until(lambda rows: rows and re.search(r"s  1 in flight  deadline in \d", rows[-1]))
    terminal.finish()
    said = " ".join(terminal.text().split())
    assert terminal.code == 1, said
    # The deadline is 4 s after the notice. The agent gets its drain request a moment later.
    assert re.search(r'still reported "draining" at the end of its time \([34]\.\d+ s\), with 1 in flight', said), said
    assert f"DRAINHOOK_AGENT__DRAIN_TIMEOUT=10m drainhook simulate --agent {agent}" in said, said
    # The daemon's log is text, without DEBUG lines.
    assert "DEBUG" not in said and '{"' not in said, said


def test_interrupted_drill(agent):
    """After Ctrl-C, the printed command returns the agent to service."""
    terminal = Terminal([DRAINHOOK, "simulate", "--agent", agent], 160)
    terminal.until(lambda rows: rows and re.search(r"s  .*1 in flight  deadline in \d", rows[-1]))
    terminal.interrupt()
    terminal.finish()
    assert terminal.code == 130
    said = terminal.rows()[-1]
    assert "your agent is still draining" in said, said
    subprocess.run(said.split("service: ")[1].split(), check=True, capture_output=True)
    assert Agent.state == "serving"


def test_interrupted_judgment(agent):
    """The last drain of a judgment waits for an agent that never drains."""
    terminal = Terminal([DRAINHOOK, "simulate", "--agent", agent, "--conformance"], 160)
    terminal.until(lambda rows: any(row.startswith("second drain ") for row in rows))
    terminal.interrupt()
    terminal.finish()
    assert terminal.code == 130
    subprocess.run(terminal.rows()[-1].split("service: ")[1].split(), check=True, capture_output=True)
    assert Agent.state == "serving"


def test_interrupted_drain_of_one_agent(agent):
    terminal = Terminal([DRAINHOOK, "drain", "--agent", agent], 160)
    terminal.until(lambda rows: any("draining, 1 in flight" in row for row in rows))
    terminal.interrupt()
    terminal.finish()
    assert terminal.code == 130
    subprocess.run(terminal.rows()[-1].split("service: ")[1].split(), check=True, capture_output=True)
    assert Agent.state == "serving"


def test_speed_too_high_for_the_machine():
    """The daemon stops for four seconds. At 20 times the speed, it is 80 s late and its action expires. The run is not
    judged, because the daemon is not at fault."""
    simulate = subprocess.Popen([DRAINHOOK, "simulate", "--speed", "20"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = ""
    while "work finished" not in said:
        said += simulate.stdout.readline()
        assert simulate.poll() is None, said
    daemon = int(subprocess.run(["pgrep", "-P", str(simulate.pid)], capture_output=True, text=True, check=True).stdout)
    os.kill(daemon, signal.SIGSTOP)
    time.sleep(4)
    os.kill(daemon, signal.SIGCONT)
    said += simulate.communicate(timeout=PATIENCE)[0]
    assert simulate.returncode == 1 and "not judged. This machine cannot keep up with --speed 20" in said, said
    assert "✗" not in said, said


def test_unknown_scenario():
    run = subprocess.run([DRAINHOOK, "simulate", "agent-hang"], capture_output=True, text=True)
    assert run.returncode == 2 and 'no scenario is called "agent-hang"; did you mean agent-hangs?' in run.stderr, run
