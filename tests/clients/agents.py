"""The sample agents as processes, a work queue for them, and checks of their work from outside."""

import json
import os
import re
import sys
from pathlib import Path
from uuid import uuid4

import contract
from conftest import Process, wait_for
from network import Receiver, RecordingProxy, ask

PYTHON_WORKER = Path(__file__).parents[2] / "examples" / "agents" / "python" / "worker.py"
WORKERS = {"python": (sys.executable, str(PYTHON_WORKER)), "rust": (os.environ["WORKER_BIN"],)}
LISTENING = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")
# Every task has these items.
ITEMS = [0, 1, 2]


class Agent:
    """An agent behind a proxy that records requests."""

    def __init__(self, program, environment):
        self.process = Process(program=program, environment=environment)
        try:
            said = wait_for(lambda: LISTENING.search("".join(self.process.stderr)), "the agent listens")
        except BaseException:
            self.stop()
            raise
        self.url = said[1]
        self.proxy = RecordingProxy(self.url)

    def asked(self, method):
        """The requests with this method that the agent has answered so far."""
        return [one for one in self.proxy.exchanges if one.method == method and one.status]

    def state(self):
        """The agent's current state."""
        _, _, answer = ask(self.proxy.address, "GET", "/drain", {}, None)
        return json.loads(answer)["state"]

    def stop(self):
        """Stops the agent with SIGTERM. Returns its exit code, or None if it had to be killed."""
        code = self.process.stop()
        self.process.show()
        return code


class Site:
    """A work queue, its agents, and the webhook that they deliver to. All calls to AWS go through a proxy."""

    def __init__(self, simulator, folder):
        self.sqs = simulator.client("sqs")
        self.aws = RecordingProxy(simulator.environment["AWS_ENDPOINT_URL"])
        self.receiver = Receiver()
        self.queue = self.sqs.create_queue(QueueName=f"work-{uuid4().hex[:8]}")["QueueUrl"]
        self.checkpoints = folder / "checkpoints"
        self.environment = simulator.environment | {"AWS_ENDPOINT_URL": self.aws.url}
        self.tasks = set()
        self.agents = []

    def agent(self, name, **settings):
        """Starts an agent. Its time limits are long, so a slow machine fails no test."""
        environment = self.environment | {
            "WORK_QUEUE_URL": self.queue,
            "CHECKPOINT_DIR": str(self.checkpoints),
            "AGENT_PORT": "0",
            "TASKS_MAX": "2",
            "RECEIVE_SECONDS": "2",
            "VISIBILITY_SECONDS": "3600",
            "DELIVERY_SECONDS": "600",
            "STOP_SECONDS": "600",
            "no_proxy": "*",
        }
        self.agents.append(Agent(WORKERS[name], environment | settings))
        return self.agents[-1]

    def send(self, *tasks):
        self.tasks |= set(tasks)
        for task in tasks:
            body = {"url": f"{self.receiver.url}/{task}", "items": ITEMS}
            self.sqs.send_message(QueueUrl=self.queue, MessageBody=json.dumps(body))

    def until_held(self, deliveries):
        """Waits until the webhook holds this many deliveries, so this many tasks are in flight."""
        wait_for(lambda: len(self.receiver.held) == deliveries, f"the webhook holds {deliveries} deliveries")

    def until_done(self, *tasks):
        last = {(task, ITEMS[-1]) for task in tasks}
        wait_for(lambda: last <= set(self.receiver.delivered) and not self.messages()[1], f"{tasks} are done")

    def messages(self):
        """The numbers of visible and of hidden messages."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return tuple(int(attributes[name]) for name in names)

    def account(self):
        """Checks that no work was lost or done twice. Returns each queued task with its number of delivered items.

        A task that has left the queue had each item delivered once. A task in the queue is visible, and exactly the
        items before its checkpoint were delivered, each once.
        """
        visible, hidden = self.messages()
        assert hidden == 0, "a task is hidden, but no worker has it"
        received = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10, VisibilityTimeout=0)
        in_queue = {}
        for message in received.get("Messages", []):
            task = json.loads(message["Body"])["url"].rpartition("/")[2]
            in_queue[task] = self.checkpoint(message["MessageId"])
        assert len(in_queue) == visible
        for task in self.tasks:
            times = [self.receiver.delivered.count((task, item)) for item in ITEMS]
            count = in_queue.get(task, len(ITEMS))
            assert times == [1] * count + [0] * (len(ITEMS) - count), f"task {task}, checkpoint {in_queue.get(task)}"
        return in_queue

    def checkpoint(self, message_id):
        file = self.checkpoints / message_id
        return int(file.read_text()) if file.exists() else 0

    def calls(self, name):
        """The calls to AWS with this name so far, in order. Of calls to SQS, only those for the work queue."""

        def is_it(call):
            if "x-amz-target" in call.headers:
                target, about = call.headers["x-amz-target"], json.loads(call.body).get("QueueUrl")
                return target == f"AmazonSQS.{name}" and about == self.queue
            return f"Action={name}&".encode() in call.body

        return [call for call in list(self.aws.exchanges) if is_it(call)]

    def until_completed(self):
        """Waits until the lifecycle action is completed."""
        what = "CompleteLifecycleAction"
        wait_for(lambda: any(call.status == 200 for call in self.calls(what)), "the action is completed")

    def assert_completed_after(self, call):
        """Checks that all calls with this name were answered before the first attempt to complete the action."""
        assert max(one.ended for one in self.calls(call)) < min(
            one.begun for one in self.calls("CompleteLifecycleAction")
        )

    def close(self):
        """Stops everything. Checks that every agent exits with code 0 on SIGTERM, and answered as documented."""
        self.receiver.release()
        codes = [agent.stop() for agent in self.agents]
        for server in [self.aws, self.receiver, *(agent.proxy for agent in self.agents)]:
            server.close()
        for agent in self.agents:
            for exchange in agent.proxy.exchanges:
                contract.check(exchange)
        assert codes == [0] * len(codes)
