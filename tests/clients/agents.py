"""The sample agents as processes, and what every kind of them is judged by."""

import json
import os
import re
import shutil
import socket
import sys
from pathlib import Path

import contract
import pytest
from conftest import Process, wait_for
from network import Receiver, RecordingProxy, ask

EXAMPLES = Path(__file__).parents[2] / "examples" / "agents"
NODE = shutil.which("node") if "NODE_PATH" in os.environ else None
# Without a program if `run` has left the sample out.
PROGRAMS = {
    "python": (sys.executable, str(EXAMPLES / "python" / "worker.py")),
    "rust": (os.environ["WORKER_BIN"],),
    "node": NODE and (NODE, str(EXAMPLES / "node" / "worker.js")),
    "go": os.environ.get("GO_WORKER_BIN") and (os.environ["GO_WORKER_BIN"],),
    "websocket": NODE and (NODE, str(EXAMPLES / "websocket" / "server.js")),
}
LISTENING = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")
# Every task has these items.
ITEMS = [0, 1, 2]


def samples(*names):
    """The samples as parameters of a test or fixture."""
    absent = pytest.mark.skip(reason="tests/clients/run has said why")
    return [pytest.param(name, marks=[] if PROGRAMS[name] else [absent]) for name in names]


class Agent:
    """An agent behind a proxy that records requests."""

    def __init__(self, program, environment):
        self.program, self.environment = program, environment
        self.url = self.start()
        self.proxy = RecordingProxy(self.url)

    def start(self):
        """Starts the process. Returns its URL."""
        self.process = Process(program=self.program, environment=self.environment)
        try:
            return wait_for(lambda: self.said(LISTENING), "the agent listens")[-1]
        except BaseException:
            self.stop()
            raise

    def restart(self):
        """Kills the process, and starts another one behind the same proxy."""
        self.process.process.kill()
        self.stop()
        self.url = self.start()
        self.proxy.forward_to(self.url)

    def said(self, pattern):
        """What the agent has logged so far that matches the pattern."""
        return pattern.findall("".join(self.process.stderr))

    def asked(self, method):
        """The requests with this method that the agent has answered so far."""
        return [one for one in list(self.proxy.exchanges) if one.method == method and one.status]

    def ask(self, method, body=None, **headers):
        """The status and the document of one answer, not recorded."""
        status, _, answer = ask(self.proxy.address, method, "/drain", headers, body)
        return status, json.loads(answer)

    def state(self):
        """The agent's current state."""
        return self.ask("GET")[1]["state"]

    def stop(self):
        """Stops the agent with SIGTERM. Returns its exit code, or None if it had to be killed."""
        code = self.process.stop()
        self.process.show()
        return code


class Site:
    """Agents, and the webhook that they deliver to. All calls to AWS go through a proxy."""

    def __init__(self, simulator, _folder):
        self.aws = RecordingProxy(simulator.environment["AWS_ENDPOINT_URL"])
        self.receiver = Receiver()
        self.environment = simulator.environment | {"AWS_ENDPOINT_URL": self.aws.url, "no_proxy": "*"}
        self.agents = []

    def settings(self):
        """Every agent's environment. Its time limits are long, so a slow machine fails no test."""
        return {"AGENT_PORT": "0", "STOP_SECONDS": "600"}

    def agent(self, name, **settings):
        """Starts an agent."""
        self.agents.append(Agent(PROGRAMS[name], self.environment | self.settings() | settings))
        return self.agents[-1]

    def occupy(self, agent):
        """Gives the agent work, and returns once it is in flight. `release` lets it finish."""
        raise NotImplementedError

    def release(self):
        self.receiver.release()

    def until_held(self, deliveries):
        """Waits until the webhook holds this many deliveries, so this many tasks are in flight."""
        wait_for(lambda: len(self.receiver.held) == deliveries, f"the webhook holds {deliveries} deliveries")

    def unfinished(self):
        """Each task that the agents have given back or never had, with its number of delivered items."""
        raise NotImplementedError

    def account(self, tasks):
        """Checks that no work was lost or done twice. Returns the unfinished tasks.

        A finished task had each item delivered once. Of an unfinished one, exactly the items before its checkpoint were
        delivered, each once.
        """
        unfinished = self.unfinished()
        for task in tasks:
            times = [self.receiver.delivered.count((task, item)) for item in ITEMS]
            count = unfinished.get(task, len(ITEMS))
            expected = [1] * count + [0] * (len(ITEMS) - count)
            assert times == expected, f"task {task}, checkpoint {unfinished.get(task)}"
        return unfinished

    def calls(self, name):
        """The calls to Auto Scaling with this name so far, in order."""
        return [call for call in list(self.aws.exchanges) if f"Action={name}&".encode() in call.body]

    def until_completed(self):
        """Waits until the lifecycle action is completed."""
        what = "CompleteLifecycleAction"
        wait_for(lambda: any(call.status == 200 for call in self.calls(what)), "the action is completed")

    def assert_completed_after(self, moment):
        """Checks that the first attempt to complete the action was made after this moment."""
        assert moment < min(call.begun for call in self.calls("CompleteLifecycleAction"))

    def close(self):
        """Stops everything. Checks that every agent exits with code 0 on SIGTERM, and answered as documented."""
        self.release()
        codes = [agent.stop() for agent in self.agents]
        for server in [self.aws, self.receiver, *(agent.proxy for agent in self.agents)]:
            server.close()
        for agent in self.agents:
            for exchange in agent.proxy.exchanges:
                contract.check(exchange)
        assert codes == [0] * len(codes)


def told(agent, times):
    wait_for(lambda: len(agent.asked("POST")) >= times, f"the daemon has sent {times} drain requests")


def restart_daemon(daemon, drainhook, agent):
    """Kills the daemon and starts another one. Waits until that one has sent a drain request, too."""
    daemon.process.kill()
    daemon.process.wait()
    before = len(agent.asked("POST"))
    drainhook(agent)
    told(agent, before + 1)


def order(folder, command):
    """Sends an operator's command to the daemon."""
    with socket.socket(socket.AF_UNIX) as control:
        path = str(folder / "drainhook.sock")
        wait_for(lambda: control.connect_ex(path) == 0, "the daemon listens")
        control.sendall(json.dumps({"command": command}).encode() + b"\n")
        answer = control.makefile().readline()
    assert "done" in json.loads(answer), answer
