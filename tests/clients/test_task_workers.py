"""The workers that callers send tasks to, during a drain.

Every task is done exactly once, or its caller knows how many items are delivered and sends the rest to another worker.
"""

import http.client
import json
import signal

import pytest
from agents import order, restart_daemon, samples, told
from callers import CallerSite
from conftest import lifecycle_state, scale_in, wait_for

every_worker = pytest.mark.parametrize("name", samples("node", "go"))


@pytest.fixture
def site(simulator, tmp_path):
    site = CallerSite(simulator, tmp_path)
    yield site
    site.close()


@every_worker
def test_scale_in(name, site, instance, drainhook, autoscaling):
    """The agent gets two drain requests, because the daemon is killed and restarted during the drain."""
    site.receiver.hold(lambda item: item == 1)
    agent = site.agent(name)
    assert site.health(agent) == 200
    site.send(agent, "a", "b")
    site.until_held(2)
    daemon = drainhook(agent)
    scale_in(autoscaling, instance)
    told(agent, 1)
    assert (site.health(agent), site.sent(agent, "c")) == (503, 503)
    wait_for(lambda: lifecycle_state(autoscaling, instance) == "Terminating:Wait", "the hook waits")
    restart_daemon(daemon, drainhook, agent)
    assert site.sent(agent, "d") == 503
    assert agent.ask("GET")[1] == {"state": "draining", "in_flight": 2, "gauges": {}}
    assert not site.calls("CompleteLifecycleAction")

    site.release()
    site.until_completed()
    site.assert_completed_after(site.receiver.last)
    assert agent.ask("GET")[1] == {"state": "drained", "in_flight": 0, "gauges": {"tasks_done": 2}}
    assert site.until_answered() == {"a": 200, "b": 200, "c": 503, "d": 503}
    assert site.account() == {"c": 0, "d": 0}


@every_worker
def test_deadline(name, site, instance, drainhook, autoscaling):
    """The deadline comes before the work is done. The callers send the rest to another agent."""
    site.receiver.hold(lambda item: item == 1)
    # Longer than the daemon's drain timeout, though the simulation's clock runs ahead of the agent's.
    agent = site.agent(name, CHECKPOINT_SECONDS="86400")
    site.send(agent, "a", "b")
    site.until_held(2)
    drainhook(agent, DRAINHOOK_AGENT__DRAIN_TIMEOUT="1h")
    scale_in(autoscaling, instance)
    told(agent, 1)
    site.release()
    site.until_completed()
    assert agent.ask("GET")[1] == {"state": "drained", "in_flight": 0, "gauges": {"tasks_given_back": 2}}
    assert site.until_answered() == {"a": 503, "b": 503}
    assert site.account() == {"a": 2, "b": 2}

    site.send(site.agent(name), "a", "b")
    assert site.until_answered() == {"a": 200, "b": 200}
    assert site.account() == {}


@every_worker
def test_sigterm(name, site):
    """SIGTERM without a drain, twice. A status request is held meanwhile, and is answered before the agent exits."""
    site.receiver.hold(lambda item: item == 1)
    agent = site.agent(name)
    site.send(agent, "a")
    site.until_held(1)
    held = http.client.HTTPConnection(agent.proxy.address, timeout=60)
    agent.process.process.send_signal(signal.SIGTERM)
    wait_for(lambda: agent.state() == "draining", "the agent stops taking tasks")
    held.request("GET", "/drain", headers={"prefer": "wait=20"})
    agent.process.process.send_signal(signal.SIGTERM)
    assert site.sent(agent, "b") == 503
    assert agent.ask("DELETE")[0] == 503
    site.release()
    assert agent.process.process.wait(60) == 0
    assert json.loads(held.getresponse().read()) == {"state": "drained", "in_flight": 0, "gauges": {"tasks_done": 1}}
    held.close()
    assert site.account() == {"b": 0}


@every_worker
def test_withdrawal(name, site, drainhook, tmp_path):
    """An operator drains the agent, and then returns it to service."""
    site.receiver.hold(lambda item: item == 1)
    agent = site.agent(name)
    site.send(agent, "a")
    site.until_held(1)
    drainhook(agent)
    order(tmp_path, "drain")
    told(agent, 1)
    assert site.sent(agent, "b") == 503
    site.release()
    wait_for(lambda: agent.state() == "drained", "the agent is drained")
    assert site.account() == {"b": 0}

    order(tmp_path, "cancel")
    wait_for(lambda: site.health(agent) == 200, "the agent serves again")
    assert site.sent(agent, "b") == 200
    assert site.account() == {}
    assert [one.status for one in agent.asked("DELETE")] == [200]


@every_worker
def test_failures(name, site):
    """A malformed task, a webhook that is gone, and a caller that is gone. No task stays in flight."""
    agent = site.agent(name)
    assert site.post(agent, "[") == (500, 0)
    assert site.post(agent, '{"id": "x", "url": "http://127.0.0.1:1", "items": [1]}') == (500, 0)
    site.receiver.hold(lambda item: item == 1)
    caller = http.client.HTTPConnection(site.address(agent))
    caller.request("POST", "/tasks", site.body("a"))
    site.until_held(1)
    caller.close()
    assert agent.ask("POST", "{}")[1] == {"state": "draining", "in_flight": 1, "gauges": {"tasks_failed": 2}}
    site.release()
    wait_for(lambda: agent.state() == "drained", "the agent is drained")
    assert agent.ask("GET")[1]["gauges"] == {"tasks_failed": 2, "tasks_done": 1}
