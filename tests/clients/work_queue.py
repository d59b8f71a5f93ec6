"""Agents that take tasks from a work queue."""

import json
from uuid import uuid4

from agents import ITEMS, Site
from conftest import wait_for


class QueueSite(Site):
    """A work queue and its workers."""

    def __init__(self, simulator, folder):
        super().__init__(simulator, folder)
        self.sqs = simulator.client("sqs")
        self.queue = self.sqs.create_queue(QueueName=f"work-{uuid4().hex[:8]}")["QueueUrl"]
        self.checkpoints = folder / "checkpoints"
        self.tasks = set()

    def settings(self):
        return super().settings() | {
            "WORK_QUEUE_URL": self.queue,
            "CHECKPOINT_DIR": str(self.checkpoints),
            "TASKS_MAX": "2",
            "RECEIVE_SECONDS": "2",
            "VISIBILITY_SECONDS": "3600",
            "DELIVERY_SECONDS": "600",
        }

    def occupy(self, agent):
        self.receiver.hold(lambda item: item == 1)
        self.send("occupied")
        self.until_held(1)

    def send(self, *tasks):
        self.tasks |= set(tasks)
        for task in tasks:
            body = {"url": f"{self.receiver.url}/{task}", "items": ITEMS}
            self.sqs.send_message(QueueUrl=self.queue, MessageBody=json.dumps(body))

    def until_done(self, *tasks):
        last = {(task, ITEMS[-1]) for task in tasks}
        wait_for(lambda: last <= set(self.receiver.delivered) and not self.messages()[1], f"{tasks} are done")

    def messages(self):
        """The numbers of visible and of hidden messages."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return tuple(int(attributes[name]) for name in names)

    def unfinished(self):
        """The tasks in the queue, with their checkpoints. Every one is visible."""
        visible, hidden = self.messages()
        assert hidden == 0, "a task is hidden, but no worker has it"
        received = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10, VisibilityTimeout=0)
        in_queue = {}
        for message in received.get("Messages", []):
            task = json.loads(message["Body"])["url"].rpartition("/")[2]
            in_queue[task] = self.checkpoint(message["MessageId"])
        assert len(in_queue) == visible
        return in_queue

    def account(self):
        return super().account(self.tasks)

    def checkpoint(self, message_id):
        file = self.checkpoints / message_id
        return int(file.read_text()) if file.exists() else 0

    def calls(self, name):
        """The calls to AWS with this name so far, in order. Of calls to SQS, only those for the work queue."""

        def is_for_the_queue(call):
            target, about = call.headers.get("x-amz-target"), json.loads(call.body or b"{}").get("QueueUrl")
            return target == f"AmazonSQS.{name}" and about == self.queue

        to_sqs = [call for call in list(self.aws.exchanges) if "x-amz-target" in call.headers]
        return super().calls(name) + [call for call in to_sqs if is_for_the_queue(call)]

    def assert_completed_after_calls(self, name):
        """Checks that all calls with this name were answered before the first attempt to complete the action."""
        self.assert_completed_after(max(call.ended for call in self.calls(name)))
