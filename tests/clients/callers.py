"""Workers that callers send tasks to over HTTP."""

import json
import re
import threading

from agents import ITEMS, Site
from conftest import wait_for
from network import ask

TAKING = re.compile(r"taking tasks on port (\d+)")


class CallerSite(Site):
    """Callers, and the workers that they send tasks to. A caller keeps what a worker refuses or gives back."""

    def __init__(self, simulator, folder):
        super().__init__(simulator, folder)
        self.delivered = {}  # each task's number of delivered items, as the last response said
        self.statuses = {}  # each task's status in the last response; 0 for a broken connection
        self.callers = []

    def settings(self):
        return super().settings() | {"PORT": "0", "DELIVERY_SECONDS": "600"}

    def occupy(self, agent):
        self.receiver.hold(lambda item: item == 1)
        self.send(agent, "occupied")
        self.until_held(1)

    def send(self, agent, *tasks):
        """Sends the items of each task that are not delivered yet, and does not wait."""
        for task in tasks:
            self.statuses.pop(task, None)
            self.callers.append(threading.Thread(target=self._call, args=(agent, task)))
            self.callers[-1].start()

    def _call(self, agent, task):
        try:
            self.statuses[task], self.delivered[task] = self.post(agent, self.body(task))
        except OSError:
            self.statuses[task] = 0

    def body(self, task):
        """A request for the items of a task that are not delivered yet."""
        delivered = self.delivered.setdefault(task, 0)
        return json.dumps({"id": task, "url": f"{self.receiver.url}/{task}", "items": ITEMS, "delivered": delivered})

    def post(self, agent, body):
        """Makes one request. Returns the status and the number of delivered items."""
        status, _, answer = ask(self.address(agent), "POST", "/tasks", {}, body)
        return status, json.loads(answer)["delivered"]

    def until_answered(self):
        """Waits for the responses to all tasks. Returns their statuses."""
        wait_for(lambda: not any(caller.is_alive() for caller in self.callers), "the agents respond")
        return self.statuses

    def sent(self, agent, task):
        """Sends a task, and waits for the status."""
        self.send(agent, task)
        return wait_for(lambda: self.statuses.get(task), f"the agent responds to {task}")

    def health(self, agent):
        """What a load balancer's health check sees."""
        status, _, answer = ask(self.address(agent), "GET", "/health", {}, None)
        assert json.loads(answer) == {"healthy": status == 200}
        return status

    def address(self, agent):
        """Where the agent takes tasks."""
        return f"127.0.0.1:{agent.said(TAKING)[-1]}"

    def unfinished(self):
        self.until_answered()
        return {task: count for task, count in self.delivered.items() if count < len(ITEMS)}

    def account(self):
        return super().account(self.delivered)
