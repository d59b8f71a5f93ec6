"""What every sample agent can do: drain in a drill, and drain again after a restart."""

import http.client
import json

import pytest
from agents import samples, told
from conftest import Process, scale_in, wait_for
from network import ask
from sites import SITES

every_sample = pytest.mark.parametrize("name", samples(*SITES))


@pytest.fixture
def site(name, simulator, tmp_path):
    site = SITES[name](simulator, tmp_path)
    yield site
    site.close()


@every_sample
def test_restart(site, name, instance, drainhook, autoscaling):
    """The agent crashes during a drain, and its successor takes work. The daemon tells it to drain, too."""
    agent = site.agent(name)
    site.occupy(agent)
    drainhook(agent)
    scale_in(autoscaling, instance)
    told(agent, 1)
    assert agent.state() == "draining"
    before = len(agent.asked("POST"))
    agent.restart()
    told(agent, before + 1)
    site.release()
    site.until_completed()
    assert agent.state() == "drained"


@every_sample
def test_held_status(site, name):
    """A status request is held during a drain, and not before one: the daemon tells a restarted agent to drain at once."""
    agent = site.agent(name)
    site.occupy(agent)
    wait = {"prefer": "wait=20"}
    _, headers, answer = ask(agent.proxy.address, "GET", "/drain", wait, None)
    assert (json.loads(answer)["state"], headers.get("preference-applied")) == ("serving", None)
    assert agent.ask("POST", "{}")[1]["state"] == "draining"
    held = http.client.HTTPConnection(agent.proxy.address, timeout=60)
    held.request("GET", "/drain", headers=wait)
    site.release()
    answer = held.getresponse()
    assert (json.load(answer)["state"], answer.getheader("preference-applied")) == ("drained", "wait=20")
    held.close()


@every_sample
def test_drill(site, name):
    """`drainhook simulate --agent` while the agent has work. The work is finished before the drill ends."""
    agent = site.agent(name)
    site.occupy(agent)
    environment = {"DRAINHOOK_AGENT__DRAIN_TIMEOUT": "3m"}
    drill = Process("simulate", "--json", "--agent", agent.proxy.url, environment=environment)
    try:
        told(agent, 1)
        assert agent.ask("GET")[1]["in_flight"] == 1
        assert drill.process.poll() is None
        site.release()
        assert wait_for(lambda: drill.process.poll() is not None and [drill.process.returncode], "the drill ends") == [0]
    finally:
        drill.stop()
        drill.show()
    assert agent.state() == "drained"
    assert site.account() == {}
