"""What is in AWS after an apply, read back with boto3.

moto delivers events on EventBridge's bus to the queues of the matching rules, and a topic's messages to its
subscribers. It ignores the queues' policies, which test_policy.py covers. moto's Auto Scaling sends no events, so the
tests put them on the bus. AWS would refuse that, because only AWS services can send events with a source that begins
with `aws.`.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ACCOUNT, INPUTS, KEY, REGION, TOPIC, Applied

MESSAGES = Path(__file__).resolve().parents[1] / "fixtures" / "messages"
TERMINATION_TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:sns-termination"
RUNBOOK = Path(__file__).resolve().parents[2] / "docs" / "runbook.md"


def termination_hook(call: str) -> dict[str, Any]:
    """The hook with the module's defaults."""
    return {
        "AutoScalingGroupName": call,
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "HeartbeatTimeout": 300,
        "DefaultResult": "CONTINUE",
    }


def test_hooks(applied: Applied) -> None:
    assert applied.hooks("workers") == {"drain": termination_hook("workers")}
    assert applied.hooks("none") == {"drain": termination_hook("none")}
    for call in ("direct", "sns"):
        (hook,) = applied.hooks(call).values()
        # test_policy.py checks what this role may do.
        assert hook.pop("RoleARN").startswith(f"arn:aws:iam::{ACCOUNT}:role/{call}-")
        target = hook.pop("NotificationTargetARN")
        assert target == (applied.outputs["direct"]["queue_arn"] if call == "direct" else TERMINATION_TOPIC)
        assert hook == termination_hook(call)
    assert applied.hooks("full") == {
        "leave": {
            "AutoScalingGroupName": "full",
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
            "HeartbeatTimeout": 600,
            "DefaultResult": "ABANDON",
            "NotificationMetadata": "blue",
        },
        "ready": {
            "AutoScalingGroupName": "full",
            "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
            "HeartbeatTimeout": 120,
            "DefaultResult": "ABANDON",
        },
    }


@pytest.mark.parametrize("call", ["workers", "direct", "sns", "full"])
def test_termination_queue(applied: Applied, call: str) -> None:
    queue = applied.queue(applied.outputs[call]["queue_url"])
    assert queue["QueueArn"] == applied.outputs[call]["queue_arn"]
    # Messages that no daemon claims expire after an hour. No redrive policy moves them.
    assert queue["MessageRetentionPeriod"] == "3600"
    assert "RedrivePolicy" not in queue
    assert queue["DelaySeconds"] == "0"
    encrypted_with(queue, call)


@pytest.mark.parametrize("call", ["workers", "sns", "full"])
def test_dead_letter_queue(applied: Applied, call: str) -> None:
    queue = applied.queue(applied.outputs[call]["dead_letter_queue_url"])
    assert queue["MessageRetentionPeriod"] == str(14 * 86_400)
    encrypted_with(queue, call)


def encrypted_with(queue: dict[str, str], call: str) -> None:
    if call == "full":
        assert queue["KmsMasterKeyId"] == KEY
    else:
        assert queue["SqsManagedSseEnabled"] == "true"


def test_outputs_without_a_queue(applied: Applied) -> None:
    outputs = applied.outputs["none"]
    names = ("queue_url", "queue_arn", "dead_letter_queue_url", "rule_arn")
    assert [outputs[name] for name in names] == [None] * len(names)
    assert applied.outputs["direct"]["dead_letter_queue_url"] is None


def message(name: str) -> dict[str, Any]:
    """An event from tests/fixtures."""
    return json.loads((MESSAGES / f"{name}.json").read_text())


def delivered(applied: Applied, call: str, *events: dict[str, Any]) -> list[dict[str, Any]]:
    """Puts events on the bus. Returns those that reach the queue."""
    take(applied, call)
    entries = [
        {"Source": one["source"], "DetailType": one["detail-type"], "Detail": json.dumps(one["detail"])}
        for one in events
    ]
    put = applied.aws.client("events").put_events(Entries=entries)
    assert put["FailedEntryCount"] == 0
    return [json.loads(body) for body in take(applied, call)]


def take(applied: Applied, call: str) -> list[str]:
    """Receives and deletes all messages in the queue. Returns their bodies."""
    sqs, url = applied.aws.client("sqs"), applied.outputs[call]["queue_url"]
    bodies = []
    while got := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages"):
        for one in got:
            bodies.append(one["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
    return bodies


@pytest.mark.parametrize("name", ["terminate", "warm-pool", "replace-root-volume"])
def test_rule_delivers(applied: Applied, name: str) -> None:
    event = message(f"eventbridge-{name}")
    (got,) = delivered(applied, "workers", event)
    # The rule changes nothing: the target has no input transformer and no input path.
    assert {key: got[key] for key in ("source", "detail-type", "detail")} == {
        key: event[key] for key in ("source", "detail-type", "detail")
    }


def test_rule_ignores_other_events(applied: Applied) -> None:
    event = message("eventbridge-terminate")
    others = [
        event | {"detail": event["detail"] | {"AutoScalingGroupName": "workers-2"}},
        event | {"detail": event["detail"] | {"LifecycleHookName": "leave"}},
        event | {"source": "drainhook.simulator"},
        message("eventbridge-launch"),
        message("eventbridge-launch-successful"),
        message("spot-terminate"),
        message("rebalance"),
        message("state-change"),
        message("health"),
        message("capacity-block"),
    ]
    assert delivered(applied, "workers", *others) == []


def test_spot_events(applied: Applied) -> None:
    (got,) = delivered(applied, "full", message("spot-terminate"), message("rebalance"))
    assert got["detail"] == {"instance-id": "i-0123456789abcdef0", "instance-action": "terminate"}


def test_capacity_events(applied: Applied) -> None:
    """Warnings about every instance of the account, and the end of the group's own Capacity Block, by both of its names."""
    block = message("block-expiration")
    renamed = block | {"detail-type": "Capacity Block Reservation Expiration Warning"}
    others = block | {"detail": block["detail"] | {"capacity-reservation-id": "cr-0fedcba9876543210"}}
    sent = [message("capacity-reservation"), message("capacity-interruptible"), block, renamed, others]
    got = [event["detail-type"] for event in delivered(applied, "full", *sent)]
    assert sorted(got) == sorted(event["detail-type"] for event in sent[:4])
    assert delivered(applied, "workers", *sent) == []


def test_targets_have_a_dead_letter_queue(applied: Applied) -> None:
    """Undeliverable events are kept. The dead-letter queue belongs to the target: if it belonged to the termination
    queue, daemons' receives would move good messages there."""
    events = applied.aws.client("events")
    for call, keys in {"workers": ["termination"], "full": ["termination", "spot", "capacity", "block-end"]}.items():
        dead_letters = applied.queue(applied.outputs[call]["dead_letter_queue_url"])["QueueArn"]
        for key in keys:
            (target,) = events.list_targets_by_rule(Rule=f"{call}-{key}")["Targets"]
            assert target["Arn"] == applied.outputs[call]["queue_arn"]
            assert target["DeadLetterConfig"] == {"Arn": dead_letters}
            assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] == 3600
    assert applied.outputs["workers"]["rule_arn"] == events.describe_rule(Name="workers-termination")["Arn"]


def test_topic_to_queue(applied: Applied) -> None:
    body = (MESSAGES / "direct.json").read_text()
    applied.aws.client("sns").publish(TopicArn=TERMINATION_TOPIC, Message=body)
    assert take(applied, "sns") == [body], "raw, without SNS's envelope"


def test_counted_events(applied: Applied) -> None:
    """One queue counts finished terminations, another counts successful completions."""
    sqs = applied.aws.client("sqs")

    def count(key: str) -> int:
        url = sqs.get_queue_url(QueueName=f"full-{key}")["QueueUrl"]
        return int(applied.queue(url)["ApproximateNumberOfMessages"])

    group = {"AutoScalingGroupName": "full"}
    ended = {"source": "aws.autoscaling", "detail-type": "EC2 Instance Terminate Successful", "detail": group}
    call = {
        "eventSource": "autoscaling.amazonaws.com",
        "eventName": "CompleteLifecycleAction",
        "requestParameters": {"autoScalingGroupName": "full", "lifecycleHookName": "leave"},
    }
    completed = {"source": "aws.autoscaling", "detail-type": "AWS API Call via CloudTrail", "detail": call}
    refused = completed | {"detail": call | {"errorCode": "ValidationException"}}
    heartbeat = completed | {"detail": call | {"eventName": "RecordLifecycleActionHeartbeat"}}
    elsewhere = ended | {"detail": {"AutoScalingGroupName": "workers"}}
    assert delivered(applied, "full", ended, ended, completed, refused, heartbeat, elsewhere) == []
    assert (count("terminated"), count("completed")) == (2, 1)


def alarms(applied: Applied, call: str) -> dict[str, dict[str, Any]]:
    described = applied.aws.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{call}-")["MetricAlarms"]
    assert {alarm["AlarmArn"] for alarm in described} == set(applied.outputs[call]["alarm_arns"])
    return {alarm["AlarmName"].removeprefix(f"{call}-"): alarm for alarm in described}


def metric(alarm: dict[str, Any]) -> tuple[str, str, str, str]:
    (dimension,) = alarm["Dimensions"]
    return alarm["Namespace"], alarm["MetricName"], dimension["Name"], dimension["Value"]


def test_alarms(applied: Applied) -> None:
    group = "AutoScalingGroupName"
    found = alarms(applied, "workers")
    assert {name: metric(alarm) for name, alarm in found.items()} == {
        "terminating-too-long": ("AWS/AutoScaling", "GroupTerminatingInstances", group, "workers"),
        "dead-letters": ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue_name(applied, "workers")),
    }
    # At least one instance was terminating in every minute of an hour (the drain timeout) and ten minutes.
    stuck = found["terminating-too-long"]
    assert (stuck["Statistic"], stuck["Period"] * stuck["EvaluationPeriods"]) == ("Minimum", 70 * 60)
    found = alarms(applied, "full")
    unfinished = found.pop("unfinished")
    assert {name: metric(alarm) for name, alarm in found.items()} == {
        "terminating-too-long": ("AWS/AutoScaling", "GroupTerminatingInstances", group, "full"),
        "retained": ("AWS/AutoScaling", "GroupTerminatingRetainedInstances", group, "full"),
        "dead-letters": ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue_name(applied, "full")),
        "drains-failed": ("drainhook", "DrainsFailed", group, "full"),
        "drains-deadline": ("drainhook", "DrainsDeadline", group, "full"),
        "drained-in-service": ("drainhook", "DrainedInService", group, "full"),
    }
    sources = {one["Id"]: one["MetricStat"]["Metric"] for one in unfinished["Metrics"] if "MetricStat" in one}
    assert {key: one["Dimensions"] for key, one in sources.items()} == {
        key: [{"Name": "QueueName", "Value": f"full-{key}"}] for key in ("terminated", "completed")
    }
    for alarm in [*found.values(), unfinished]:
        assert alarm["AlarmActions"] == [TOPIC]


def queue_name(applied: Applied, call: str) -> str:
    return applied.outputs[call]["dead_letter_queue_url"].rsplit("/", 1)[1]


def test_alarms_link_to_the_runbook(applied: Applied) -> None:
    headings = [line.lstrip("# ").strip() for line in RUNBOOK.read_text().splitlines() if line.startswith("#")]
    anchors = {heading.lower().replace(" ", "-").replace("`", "") for heading in headings}
    for call, url in {"workers": "docs/runbook.md", "full": "https://wiki.example/drain"}.items():
        for name, alarm in alarms(applied, call).items():
            link, _, anchor = alarm["AlarmDescription"].split()[-1].partition("#")
            assert (link, anchor in anchors) == (url, True), f"{name}: {alarm['AlarmDescription']}"


@pytest.mark.parametrize("call", list(INPUTS))
def test_dashboard(applied: Applied, call: str) -> None:
    """The dashboard shows the alarms, and only metrics of existing groups and queues."""
    cloudwatch, sqs = applied.aws.client("cloudwatch"), applied.aws.client("sqs")
    name = applied.outputs[call]["dashboard_name"]
    widgets = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])["widgets"]
    (alarm_widget,) = [widget for widget in widgets if widget["type"] == "alarm"]
    assert set(alarm_widget["properties"]["alarms"]) == set(applied.outputs[call]["alarm_arns"])
    metrics = [metric for widget in widgets if widget["type"] == "metric" for metric in widget["properties"]["metrics"]]
    assert metrics
    known = {"AutoScalingGroupName": {call}, "QueueName": names(sqs, call)}
    for _, _, dimension, value, *_ in metrics:
        assert value in known[dimension]
    corners = [(widget["x"], widget["y"]) for widget in widgets]
    assert len(set(corners)) == len(corners), "two widgets have the same position"


def names(sqs: Any, call: str) -> set[str]:
    return {url.rsplit("/", 1)[1] for url in sqs.list_queues(QueueNamePrefix=f"{call}-").get("QueueUrls", [])}


def test_tags(applied: Applied) -> None:
    aws, outputs = applied.aws, applied.outputs["full"]
    sqs, iam = aws.client("sqs"), aws.client("iam")
    tags = {"team": "blue"}
    assert {url for url in sqs.list_queues(QueueNamePrefix="full-")["QueueUrls"]} >= {outputs["queue_url"]}
    for url in sqs.list_queues(QueueNamePrefix="full-")["QueueUrls"]:
        assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == tags, url
    listed = [{"Key": "team", "Value": "blue"}]
    for rule in aws.client("events").list_rules(NamePrefix="full-")["Rules"]:
        assert aws.client("events").list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"] == listed, rule["Arn"]
    for arn in outputs["alarm_arns"]:
        assert aws.client("cloudwatch").list_tags_for_resource(ResourceARN=arn)["Tags"] == listed, arn
    assert iam.list_policy_tags(PolicyArn=outputs["policy_arn"])["Tags"] == listed
