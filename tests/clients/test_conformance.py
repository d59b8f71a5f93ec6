"""`drainhook simulate --conformance` finds that the sample agents conform."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import contract
import pytest
from agents import Agent, samples
from conftest import BIN, bare_environment, wait_for
from sites import SITES
from test_agent_protocol import PRELUDE

SMALL = contract.PATH.parent.parent / "examples" / "agents" / "small" / "agent.py"


def judge(url):
    """Judges an agent. Returns the names of its checks by their state."""
    command = [BIN, "simulate", "--agent", url, "--conformance", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, env=bare_environment())
    assert ran.returncode == 0, ran
    checks = [json.loads(line) for line in ran.stdout.splitlines()]
    return {state: [one["check"] for one in checks if one["state"] == state] for state in ("ok", "failed", "skipped")}


@pytest.fixture
def site(name, simulator, tmp_path):
    site = SITES[name](simulator, tmp_path)
    yield site
    site.close()


@pytest.mark.parametrize("name", samples(*SITES))
def test_sample(site, name):
    """The sample has work in flight when it is told to drain."""
    agent = site.agent(name)
    site.occupy(agent)
    with ThreadPoolExecutor() as judges:
        judged = judges.submit(judge, agent.url)
        wait_for(lambda: agent.state() == "draining", "the sample drains")
        site.release()
        checks = judged.result()
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
