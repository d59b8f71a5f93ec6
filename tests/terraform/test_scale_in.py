"""A scale-in with the real daemon, the resources that Terraform created, and the module's user data and configuration.

Auto Scaling and IMDS are the simulator's, because moto has neither CompleteLifecycleAction nor this part of IMDS. The
test copies Terraform's hook into the simulator. EventBridge and SQS are moto's. The test puts the simulator's event on
moto's bus, and the event reaches the queue only if Terraform's rule matches it. (In AWS, only Auto Scaling can send
events with the source `aws.autoscaling`.)
"""

import json
import os
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from conftest import AGENT_SOCKET, REGION, Applied, Aws
from instance import BIN, Agent, Instance

SECONDS_MAX = 60
T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str) -> T:
    """Polls until the condition returns a true value, and returns it. Fails after SECONDS_MAX."""
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"timed out after {SECONDS_MAX} s waiting until {what}"
        time.sleep(0.05)


@contextmanager
def process(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Runs a process, and stops it with SIGTERM, as systemd would."""
    with subprocess.Popen(
        command,
        env={"PATH": os.environ["PATH"]} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            yield started
            started.terminate()
            assert started.wait(SECONDS_MAX) == 0
        finally:
            started.kill()


class Simulator:
    """`drainhook simulate --serve`, with a group of one instance and the given hooks."""

    def __init__(self, url: str, group: str, hooks: dict[str, dict[str, Any]]):
        self.aws = Aws(url)
        self.autoscaling, self.sqs = self.aws.client("autoscaling"), self.aws.client("sqs")
        self.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=group, MinSize=0, MaxSize=1, DesiredCapacity=1, AvailabilityZones=[f"{REGION}a"]
        )
        for name, hook in hooks.items():
            self.autoscaling.put_lifecycle_hook(LifecycleHookName=name, **hook)
        # The simulator's Auto Scaling sends its EventBridge events to the queue of this name.
        self.bus = self.sqs.create_queue(QueueName=f"{group}-termination")["QueueUrl"]
        self.instance = wait_for(lambda: self.in_service(group), "an instance is in service")

    def in_service(self, group: str) -> str | None:
        (described,) = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
        serving = [one["InstanceId"] for one in described["Instances"] if one["LifecycleState"] == "InService"]
        return serving[0] if serving else None

    def imds(self) -> str:
        """The URL of the instance's metadata service."""
        with urllib.request.urlopen(f"{self.aws.url}/_sim/instances", timeout=SECONDS_MAX) as answer:
            return next(one["imds"] for one in json.load(answer) if one["id"] == self.instance)

    def state(self) -> str | None:
        """The instance's lifecycle state, or None if the instance is gone."""
        described = self.autoscaling.describe_auto_scaling_instances(InstanceIds=[self.instance])
        return next((one["LifecycleState"] for one in described["AutoScalingInstances"]), None)

    def event(self) -> dict[str, Any] | None:
        """The next EventBridge event, or None."""
        messages = self.sqs.receive_message(QueueUrl=self.bus).get("Messages")
        return json.loads(messages[0]["Body"]) if messages else None


class Log:
    """The lines that a process writes to standard error."""

    def __init__(self, process: subprocess.Popen[str]):
        self.lines: list[str] = []
        assert process.stderr
        threading.Thread(target=self.lines.extend, args=(process.stderr,), daemon=True).start()

    def has(self, *words: str) -> bool:
        return any(all(word in line for word in words) for line in list(self.lines))


def messages(applied: Applied) -> int:
    """The number of messages in the queue, including hidden ones."""
    queue = applied.queue(applied.outputs["scale-in"]["queue_url"])
    return int(queue["ApproximateNumberOfMessages"]) + int(queue["ApproximateNumberOfMessagesNotVisible"])


def test_scale_in(applied: Applied, tmp_path: Path) -> None:
    outputs = applied.outputs["scale-in"]
    agent = Agent(str(AGENT_SOCKET))
    with process([BIN, "simulate", "--serve", "--json"], {}) as served:
        assert served.stdout
        url = json.loads(served.stdout.readline())["environment"]["AWS_ENDPOINT_URL"]
        simulator = Simulator(url, "scale-in", applied.hooks("scale-in"))
        instance = Instance(
            tmp_path,
            {
                "AWS_ENDPOINT_URL": url,
                "AWS_ENDPOINT_URL_SQS": applied.aws.url,
                "AWS_REGION": REGION,
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": simulator.imds(),
                "DRAINHOOK_CONTROL__SOCKET": str(tmp_path / "drainhook.sock"),
                "DRAINHOOK_JOURNAL__DIR": str(tmp_path),
            },
        )
        assert instance.boot(outputs["user_data"]) == ["restart drainhook.service"]
        assert instance.run("cat", "/etc/drainhook/drainhook.toml") == outputs["configuration"]
        with process(instance.command(BIN, "run"), instance.environment) as daemon:
            log = Log(daemon)
            try:
                drain(applied, simulator, instance, agent, log)
            finally:
                print("".join(log.lines))
    agent.close()


def drain(applied: Applied, simulator: Simulator, instance: Instance, agent: Agent, log: Log) -> None:
    wait_for(lambda: log.has(simulator.instance), "the daemon logs its instance id")
    checked = [json.loads(line) for line in instance.run(BIN, "check", "--json").splitlines()]
    assert [part for part in checked if part.get("state") not in ("ok", None)] == []
    assert any("fed by EventBridge" in json.dumps(part) for part in checked)

    simulator.autoscaling.terminate_instance_in_auto_scaling_group(
        InstanceId=simulator.instance, ShouldDecrementDesiredCapacity=True
    )
    assert agent.told.wait(SECONDS_MAX), "the agent was not told"
    event = wait_for(simulator.event, "Auto Scaling sends an event")
    put = applied.aws.client("events").put_events(
        Entries=[
            {
                "Source": event["source"],
                "DetailType": event["detail-type"],
                "Detail": json.dumps(event["detail"]),
                "Resources": event["resources"],
            }
        ]
    )
    assert put["FailedEntryCount"] == 0
    # This line proves that the event came through the rule and the queue. The agent still works, so the action waits.
    wait_for(lambda: log.has("lifecycle action in Wait since", "from a message"), "the daemon gets its message")
    assert simulator.state() == "Terminating:Wait"
    agent.finished.set()
    wait_for(lambda: log.has("drain ended: drained, completed with CONTINUE"), "the drain ends")
    wait_for(lambda: simulator.state() is None, "the instance is gone")
    wait_for(lambda: messages(applied) == 0, "the message is deleted")
