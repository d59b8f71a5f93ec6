"""A websocket server, and clients that stay connected."""

import re
import threading

from agents import Site
from conftest import wait_for
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect

TAKING = re.compile(r"taking clients on port (\d+)")
ASKED = re.compile(r"asked (\d+) of (\d+) clients to reconnect")
PAUSE_SECONDS = 0.02
RETRY_SECONDS = 0.2


class Client(threading.Thread):
    """Sends numbered messages, one after the other, and waits for each reply. Connects again when a connection ends."""

    def __init__(self, site):
        super().__init__(daemon=True)
        self.site = site
        self.replies = 0
        self.refusals = []  # the status of each refused handshake
        self.closings = []  # the code of each close frame; None for a connection that was cut without one
        self.wrong = []  # replies to another message
        self.leaves = threading.Event()

    def run(self):
        while not self.leaves.is_set():
            for agent in list(self.site.agents):
                try:
                    self.converse(self.site.url(agent))
                except InvalidStatus as refusal:
                    self.refusals.append(refusal.response.status_code)
                except ConnectionClosed as closed:
                    self.closings.append(closed.rcvd and closed.rcvd.code)
                except (OSError, InvalidHandshake):  # the server is gone
                    pass
            self.leaves.wait(RETRY_SECONDS)

    def converse(self, url):
        # Of many threads that are refused, one sometimes waits for all of the close timeout.
        with connect(url, proxy=None, close_timeout=1) as connection:
            while not self.leaves.is_set():
                message = str(self.replies)
                connection.send(message)
                reply = connection.recv()
                if reply != message:
                    self.wrong.append(reply)
                self.replies += 1
                self.leaves.wait(PAUSE_SECONDS)


class SocketSite(Site):
    """Websocket servers and their clients. A client tries the servers in the order in which they were started."""

    def __init__(self, simulator, folder):
        super().__init__(simulator, folder)
        self.clients = []

    def settings(self):
        """The server asks no client to reconnect before it must, unless a test says how many."""
        return super().settings() | {"PORT": "0", "RECONNECTS_PER_SECOND": "0"}

    def occupy(self, agent):
        self.connect(1)

    def release(self):
        """The clients end their connections."""
        for client in self.clients:
            client.leaves.set()

    def connect(self, count):
        """Starts clients, and waits until each has had a reply."""
        clients = [Client(self) for _ in range(count)]
        self.clients += clients
        for client in clients:
            client.start()
        wait_for(lambda: all(client.replies for client in clients), f"{count} clients have a reply")

    def url(self, agent):
        """Where the agent takes clients. An agent that has not said so yet is still starting."""
        ports = agent.said(TAKING)
        if not ports:
            raise ConnectionRefusedError("the agent is starting")
        return f"ws://127.0.0.1:{ports[-1]}"

    def asked(self, agent):
        """How many clients the agent has asked to reconnect, and of how many, each time that it did."""
        return [(int(count), int(of)) for count, of in agent.said(ASKED)]

    def closings(self):
        """The codes with which connections were closed so far."""
        return [code for client in self.clients for code in client.closings]

    def account(self):
        """Checks that no connection was cut, and that each message got its reply."""
        assert set(self.closings()) <= {1001}
        assert not [client.wrong for client in self.clients if client.wrong]
        return {}

    def close(self):
        self.release()
        for client in self.clients:
            client.join(60)
        super().close()
        assert not any(client.is_alive() for client in self.clients)
