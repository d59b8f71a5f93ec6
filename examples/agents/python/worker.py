"""A queue worker: takes tasks from an SQS queue, several at a time, and loses none when its instance is terminated.

A task is a batch of events for a webhook: {"url": "http://…", "items": [1, 2, 3]}. Each item is one POST.
Put your own work into `deliver` and `Worker.work`, and keep the rest.
"""

import json
import logging
import os
import signal
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from drain import Drain, serve

RECEIVE_MAX = 10  # messages per call; SQS's limit
RETRY_SECONDS = 1

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}

log = logging.getLogger("worker")


def setting(name, default):
    return type(default)(os.environ.get(name, default))


QUEUE_URL = os.environ["WORK_QUEUE_URL"]
# On a file system that other instances share. (To use S3 instead, change the three functions for checkpoints.)
CHECKPOINTS = Path(setting("CHECKPOINT_DIR", "/var/lib/worker"))
PORT = setting("AGENT_PORT", 8080)
TASKS_MAX = setting("TASKS_MAX", 4)
# A drain waits for a receive that is under way, because it may bring tasks.
RECEIVE_SECONDS = setting("RECEIVE_SECONDS", 10)
# A message stays hidden this long after its worker has died.
VISIBILITY_SECONDS = setting("VISIBILITY_SECONDS", 60)
# The time limit for delivering an item.
DELIVERY_SECONDS = setting("DELIVERY_SECONDS", 10)
# How long before the deadline the worker stops starting items.
CHECKPOINT_SECONDS = setting("CHECKPOINT_SECONDS", 15)
# The longest drain on SIGTERM; systemd's TimeoutStopSec must be longer.
STOP_SECONDS = setting("STOP_SECONDS", 60)


def deliver(url, item, key):
    """One step of a task. It may be repeated after a crash, so the receiver gets a key to recognize it."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    request = urllib.request.Request(url, json.dumps(item).encode(), headers)
    with urllib.request.urlopen(request, timeout=DELIVERY_SECONDS):
        pass


class Worker:
    """Receives tasks and works on them, each in a thread."""

    def __init__(self, drain):
        self.drain = drain
        self.sqs = boto3.client("sqs")
        self.threads = ThreadPoolExecutor(TASKS_MAX)
        self.free = threading.Semaphore(TASKS_MAX)
        self.receipts = set()  # of the messages in flight

    def receive_forever(self):
        while True:
            self.free.acquire()
            count = 1
            while count < RECEIVE_MAX and self.free.acquire(blocking=False):
                count += 1
            with self.drain.taking():
                messages = self.receive(count)
                for message in messages:
                    self.receipts.add(message["ReceiptHandle"])
                    self.threads.submit(self.process, message, self.drain.hold())
            if len(messages) < count:
                self.free.release(count - len(messages))

    def receive(self, count):
        try:
            answer = self.sqs.receive_message(
                QueueUrl=QUEUE_URL,
                MaxNumberOfMessages=count,
                VisibilityTimeout=VISIBILITY_SECONDS,
                WaitTimeSeconds=RECEIVE_SECONDS,
            )
            return answer.get("Messages", [])
        except (BotoCoreError, ClientError) as error:
            log.warning("cannot receive tasks, retrying: %s", error)
            time.sleep(RETRY_SECONDS)
            return []

    def process(self, message, begin):
        """Handles one task to its end: done and deleted, or given back with its checkpoint."""
        outcome = "tasks_failed"
        try:
            if begin and self.work(message["MessageId"], json.loads(message["Body"])):
                self.sqs.delete_message(QueueUrl=QUEUE_URL, ReceiptHandle=message["ReceiptHandle"])
                forget_checkpoint(message["MessageId"])
                outcome = "tasks_done"
            else:
                self.hide(message["ReceiptHandle"], 0)
                outcome = "tasks_given_back"
        except Exception:  # from the task, the webhook or the queue: the other tasks continue
            log.exception("task %s failed; it is received again when its visibility timeout ends", message["MessageId"])
        finally:
            self.receipts.discard(message["ReceiptHandle"])
            self.free.release()
            self.drain.release(outcome)  # last, because it may end the drain

    def work(self, task_id, task):
        """Delivers the items that earlier tries left. False if there is not enough time."""
        items = task["items"]
        delivered = load_checkpoint(task_id)
        try:
            while delivered < len(items):
                if self.drain.seconds_left() < CHECKPOINT_SECONDS:
                    return False
                deliver(task["url"], items[delivered], f"{task_id}/{delivered}")
                delivered += 1
            return True
        finally:
            if delivered < len(items):
                save_checkpoint(task_id, delivered)

    def hide(self, receipt, seconds):
        """Hides a message from other workers for this long; 0 gives it back."""
        self.sqs.change_message_visibility(QueueUrl=QUEUE_URL, ReceiptHandle=receipt, VisibilityTimeout=seconds)

    def extend_forever(self):
        """Keeps the messages in flight hidden."""
        while True:
            time.sleep(VISIBILITY_SECONDS / 3)
            for receipt in self.receipts.copy():
                try:
                    self.hide(receipt, VISIBILITY_SECONDS)
                except (BotoCoreError, ClientError) as error:  # for example, it was just given back
                    log.warning("cannot extend a message's visibility timeout: %s", error)


def load_checkpoint(task_id):
    """How many items are delivered. A message keeps its id when it is received again."""
    try:
        return int((CHECKPOINTS / task_id).read_text())
    except FileNotFoundError:
        return 0


def save_checkpoint(task_id, delivered):
    new = CHECKPOINTS / f"{task_id}.new"
    new.write_text(str(delivered))
    new.replace(CHECKPOINTS / task_id)


def forget_checkpoint(task_id):
    (CHECKPOINTS / task_id).unlink(missing_ok=True)


def main():
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # before any thread starts, so that threads inherit it
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    drain = Drain()
    worker = Worker(drain)
    for loop in (worker.receive_forever, worker.extend_forever):
        threading.Thread(target=loop, daemon=True).start()
    log.info("listening on http://127.0.0.1:%s", serve(drain, PORT))
    signal.sigwait(STOP_SIGNALS)
    log.info("stopping within %s s", STOP_SECONDS)
    drain.stop(STOP_SECONDS)


if __name__ == "__main__":
    main()
