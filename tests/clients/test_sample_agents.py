"""What every sample agent can do: drain in a drill, and drain again after a restart."""

import http.client
import json
from urllib.parse import urlsplit

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
    assert held_status(agent, 20) == ("serving", None)
    assert agent.ask("POST", "{}")[1]["state"] == "draining"
    assert held_status(agent, 1) == ("draining", "wait=1")
    held = http.client.HTTPConnection(agent.proxy.address, timeout=60)
    held.request("GET", "/drain", headers={"prefer": "wait=20"})
    assert agent.state() == "draining", "the agent has had time to read the request"
    site.release()
    assert json.load(held.getresponse())["state"] == "drained"
    held.close()


@every_sample
def test_refusals(site, name):
    """A refused request gets an answer: one with another method, and one whose body is too long. The agent goes on serving."""
    agent = site.agent(name)
    address = urlsplit(agent.url).netloc
    status, headers, _ = ask(address, "PUT", "/drain", {}, b"{}")
    assert (status, sorted(headers["allow"].split(", "))) == (405, ["DELETE", "GET", "POST"])
    status, _, answer = ask(address, "POST", "/drain", {"content-type": "application/json"}, b" " * (64 * 1024 + 1))
    assert status == 413 and list(json.loads(answer)) == ["error"]
    assert agent.state() == "serving"


def held_status(agent, seconds):
    """The state in the answer to a status request with this wait, and which wait the agent has applied."""
    _, headers, answer = ask(agent.proxy.address, "GET", "/drain", {"prefer": f"wait={seconds}"}, None)
    return json.loads(answer)["state"], headers.get("preference-applied")


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
