"""The queue workers during a drain. Every task is done exactly once, or is back in the queue with its checkpoint."""

import json
import signal

import pytest
from agents import order, restart_daemon, samples, told
from conftest import lifecycle_state, scale_in, start_simulator, wait_for
from work_queue import QueueSite

WORKERS = ("python", "rust")
every_worker = pytest.mark.parametrize("name", samples(*WORKERS))


@pytest.fixture
def site(simulator, tmp_path):
    site = QueueSite(simulator, tmp_path)
    yield site
    site.close()


@every_worker
def test_scale_in(name, site, instance, drainhook, autoscaling):
    """The agent gets two drain requests, because the daemon is killed and restarted during the drain."""
    site.receiver.hold(lambda item: item == 1)
    site.send("a", "b", "c", "d")
    agent = site.agent(name)
    site.until_held(2)
    daemon = drainhook(agent)
    scale_in(autoscaling, instance)
    told(agent, 1)
    wait_for(lambda: lifecycle_state(autoscaling, instance) == "Terminating:Wait", "the hook waits")
    restart_daemon(daemon, drainhook, agent)
    assert not site.calls("CompleteLifecycleAction")

    site.receiver.release()
    site.until_completed()
    site.assert_completed_after_calls("DeleteMessage")
    in_queue = site.account()
    assert len(in_queue) == 2, "the agent finishes the two tasks in flight and leaves the other two"
    assert set(in_queue.values()) == {0}


@every_worker
def test_deadline(name, site, instance, drainhook, autoscaling):
    """The deadline comes before the work is done. Another agent continues from the checkpoints."""
    site.receiver.hold(lambda item: item == 1)
    site.send("a", "b")
    # Longer than the daemon's drain timeout, though the simulation's clock runs ahead of the agent's.
    agent = site.agent(name, CHECKPOINT_SECONDS="86400")
    site.until_held(2)
    drainhook(agent, DRAINHOOK_AGENT__DRAIN_TIMEOUT="1h")
    scale_in(autoscaling, instance)
    told(agent, 1)
    site.receiver.release()
    site.until_completed()
    site.assert_completed_after_calls("ChangeMessageVisibility")
    assert agent.state() == "drained"
    assert site.account() == {"a": 2, "b": 2}

    site.agent(name)
    site.until_done("a", "b")
    assert site.account() == {}
    wait_for(lambda: not list(site.checkpoints.iterdir()), "the checkpoints are deleted")


@every_worker
def test_sigterm(name, site):
    """SIGTERM without a drain, during a receive. The agent does not start the task that it receives."""
    site.receiver.hold(lambda item: item == 1)
    site.send("a")
    agent = site.agent(name, RECEIVE_SECONDS="20")
    site.until_held(1)
    wait_for(lambda: len(site.calls("ReceiveMessage")) > 1, "the agent polls for more tasks")
    agent.process.process.send_signal(signal.SIGTERM)
    wait_for(lambda: agent.state() == "draining", "the agent stops taking tasks")
    site.send("b")
    site.receiver.release()
    assert agent.process.process.wait(60) == 0
    assert site.account() == {"b": 0}


@every_worker
def test_withdrawal(name, site, drainhook, tmp_path):
    """An operator drains the agent, and then returns it to service."""
    site.receiver.hold(lambda item: item == 1)
    site.send("a")
    agent = site.agent(name)
    site.until_held(1)
    drainhook(agent)
    order(tmp_path, "drain")
    told(agent, 1)
    site.send("b")
    site.receiver.release()
    wait_for(lambda: agent.state() == "drained", "the agent is drained")
    assert site.account() == {"b": 0}

    order(tmp_path, "cancel")
    site.until_done("b")
    assert site.account() == {}
    assert [one.status for one in agent.asked("DELETE")] == [200]


@pytest.fixture
def real_time():
    """A simulator in real time, so that messages stay hidden for as long as the agents expect."""
    simulator = start_simulator()
    yield simulator
    assert simulator.process.stop() is not None, "the simulator did not end on SIGTERM"


def test_visibility(real_time, tmp_path):
    """The agents keep a message hidden while they work on it."""
    sites = {name: QueueSite(real_time, tmp_path / name) for name in WORKERS}
    try:
        for name, site in sites.items():
            site.receiver.hold(lambda item: item == 1)
            site.send("a")
            site.agent(name, VISIBILITY_SECONDS="6", RECEIVE_SECONDS="1")
        for site in sites.values():
            wait_for(
                lambda: any(call.status for call in site.calls("ChangeMessageVisibility")),
                "the agent extends the visibility timeout",
            )
            (call, *_) = site.calls("ChangeMessageVisibility")
            assert (json.loads(call.body)["VisibilityTimeout"], call.status) == (6, 200)
            site.receiver.release()
            site.until_done("a")
            assert site.account() == {}
    finally:
        for site in sites.values():
            site.close()
