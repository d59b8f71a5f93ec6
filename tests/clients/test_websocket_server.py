"""The websocket server during a drain, with clients that hold connections. None is cut without a close frame."""

import json
import signal
from datetime import datetime, timedelta, timezone

import pytest
from agents import order, samples, told
from conftest import scale_in, wait_for
from sockets import SocketSite
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

CLIENTS = 20

# The server is left out with its clients.
pytestmark = pytest.mark.parametrize("name", samples("websocket"))


@pytest.fixture
def site(simulator, tmp_path):
    site = SocketSite(simulator, tmp_path)
    yield site
    site.close()


def in_flight(agent):
    return agent.ask("GET")[1]["in_flight"]


def test_scale_in(name, site, instance, drainhook, autoscaling):
    """The clients move to another server, seven in a second."""
    agent = site.agent(name, RECONNECTS_PER_SECOND="7")
    site.connect(CLIENTS)
    another = site.agent(name)
    assert (in_flight(agent), in_flight(another)) == (CLIENTS, 0)
    drainhook(agent)
    scale_in(autoscaling, instance)
    site.until_completed()
    assert agent.ask("GET")[1] == {"state": "drained", "in_flight": 0, "gauges": {"sockets_closed": CLIENTS}}
    wait_for(lambda: in_flight(another) == CLIENTS, "the clients are connected to the other server")
    assert site.asked(agent) == [(7, 20), (7, 13), (6, 6)]
    assert [client.closings for client in site.clients] == [[1001]] * CLIENTS
    # Each client tried the first server once more.
    assert [client.refusals for client in site.clients] == [[503]] * CLIENTS
    before = [client.replies for client in site.clients]
    wait_for(lambda: all(client.replies > one for client, one in zip(site.clients, before)), "all get replies again")
    assert site.account() == {}


def test_a_reply_comes_before_the_close_frame(name, site):
    """A client is asked to reconnect while the server works on its message."""
    agent = site.agent(name, REPLY_SECONDS="3", RECONNECTS_PER_SECOND="50")
    with connect(site.url(agent), proxy=None) as connection:
        connection.send("a")
        assert connection.ping().wait(60), "the server has received the message"
        assert agent.ask("POST", "{}")[1] == {"state": "draining", "in_flight": 1, "gauges": {}}
        assert connection.recv(timeout=60) == "a"
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=60)
    assert closed.value.rcvd.code == 1001
    wait_for(lambda: agent.state() == "drained", "the agent is drained")


def test_deadline(name, site, instance, drainhook, autoscaling):
    """The deadline comes before the replies. Every client gets a close frame at once."""
    agent = site.agent(name, REPLY_SECONDS="600", RECONNECTS_PER_SECOND="1", CLOSE_SECONDS="86400")
    connections = [connect(site.url(agent), proxy=None) for _ in range(CLIENTS)]
    for connection in connections:
        connection.send("a")
    assert in_flight(agent) == CLIENTS
    drainhook(agent, DRAINHOOK_AGENT__DRAIN_TIMEOUT="1h")
    scale_in(autoscaling, instance)
    for connection in connections:
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=60)
        assert closed.value.rcvd.code == 1001
    site.until_completed()
    assert agent.ask("GET")[1] == {"state": "drained", "in_flight": 0, "gauges": {"sockets_closed": CLIENTS}}
    assert site.asked(agent) == []


def test_near_deadline(name, site):
    """There is too little time for one client per second, so more of them are asked at a time."""
    agent = site.agent(name, RECONNECTS_PER_SECOND="1", CLOSE_SECONDS="0")
    site.connect(CLIENTS)
    deadline = datetime.now(timezone.utc) + timedelta(seconds=5)
    agent.ask("POST", json.dumps({"deadline": deadline.isoformat()}))
    wait_for(lambda: agent.state() == "drained", "the agent is drained")
    assert not [(count, of) for count, of in site.asked(agent) if count == 1 and of > 1]
    assert site.account() == {}


def test_sigterm(name, site):
    """SIGTERM without a drain."""
    agent = site.agent(name, RECONNECTS_PER_SECOND="50")
    site.connect(CLIENTS)
    agent.process.process.send_signal(signal.SIGTERM)
    assert agent.process.process.wait(60) == 0
    wait_for(lambda: len(site.closings()) == CLIENTS, "every client has seen the end of its connection")
    assert site.account() == {}


def test_withdrawal(name, site, drainhook, tmp_path):
    """An operator drains the server, and then returns it to service. The clients come back."""
    agent = site.agent(name, RECONNECTS_PER_SECOND="1")
    site.connect(3)
    drainhook(agent)
    order(tmp_path, "drain")
    told(agent, 1)
    wait_for(lambda: any(client.refusals for client in site.clients), "a client is refused")
    order(tmp_path, "cancel")
    wait_for(lambda: agent.state() == "serving", "the agent serves again")
    wait_for(lambda: in_flight(agent) == 3, "all clients are connected")
    assert site.account() == {}
    assert [one.status for one in agent.asked("DELETE")] == [200]
