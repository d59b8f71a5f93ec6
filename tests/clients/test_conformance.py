"""`drainhook simulate --conformance` finds that the sample agents conform."""

import json
import subprocess
import sys

import contract
import pytest
from agents import WORKERS, Agent, Site
from conftest import BIN, bare_environment
from test_agent_protocol import PRELUDE

SMALL = contract.PATH.parent.parent / "examples" / "agents" / "small" / "agent.py"


def judge(url):
    """Judges an agent. Returns the names of its checks by their state."""
    command = [BIN, "simulate", "--agent", url, "--conformance", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, env=bare_environment())
    assert ran.returncode == 0, ran
    checks = [json.loads(line) for line in ran.stdout.splitlines()]
    return {state: [one["check"] for one in checks if one["state"] == state] for state in ("ok", "failed", "skipped")}


@pytest.mark.parametrize("name", WORKERS)
def test_worker(name, simulator, tmp_path):
    """The worker has tasks in flight when it is told to drain, and a receive that waits for more."""
    site = Site(simulator, tmp_path)
    try:
        site.send("a", "b", "c")
        checks = judge(site.agent(name).url)
    finally:
        site.close()
    assert not checks["failed"]
    assert checks["skipped"] == ["work while serving", "work during the drain", "work after the return", "restart"]


def test_small_agent():
    """The agent in docs/agent-protocol.md has no way back."""
    agent = Agent((sys.executable, "-c", PRELUDE + SMALL.read_text()), {})
    try:
        checks = judge(agent.url)
    finally:
        agent.stop()
        agent.proxy.close()
    assert not checks["failed"]
    assert "return to service" in checks["skipped"] and "drained" in checks["ok"]
