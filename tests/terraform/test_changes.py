"""The life of a stack: applied, changed in each of its inputs, destroyed.

Each case is one call of the module, with a group of its own, so that one apply of Terraform's does for all.
"""

from typing import Any, NamedTuple

import pytest
from conftest import KEY, TOPIC, make_stack, serve_aws

# What is done to resources. AWS forgets what is replaced or deleted, and a queue's messages with it.
Changes = dict[str, str]

HOOK = "aws_autoscaling_lifecycle_hook.this"
LAUNCH_HOOK = "aws_autoscaling_lifecycle_hook.launch[0]"
NOTIFIES = "terraform_data.this"
QUEUES = ("aws_sqs_queue.this[0]", "aws_sqs_queue.dead_letter[0]")
QUEUE_POLICY = "aws_sqs_queue_policy.this[0]"
DEAD_LETTER_POLICY = "aws_sqs_queue_policy.dead_letter[0]"
ROLE = ("aws_iam_role.this[0]", "aws_iam_role_policy.this[0]")
TOPICS = ("aws_sns_topic.this[0]", "aws_sns_topic_subscription.this[0]")
POLICY = "aws_iam_policy.this[0]"
ATTACHMENT = "aws_iam_role_policy_attachment.this[0]"
DASHBOARD = "aws_cloudwatch_dashboard.this[0]"


def alarm(key: str) -> str:
    return f'aws_cloudwatch_metric_alarm.this["{key}"]'


def rule(key: str, of: str = "this") -> tuple[str, str]:
    return f'aws_cloudwatch_event_rule.{of}["{key}"]', f'aws_cloudwatch_event_target.{of}["{key}"]'


def counted(key: str) -> tuple[str, ...]:
    return *rule(key, of="counted"), f'aws_sqs_queue.counted["{key}"]', f'aws_sqs_queue_policy.counted["{key}"]'


def create(*resources: str) -> Changes:
    return dict.fromkeys(resources, "create")


def update(*resources: str) -> Changes:
    return dict.fromkeys(resources, "update")


def replace(*resources: str) -> Changes:
    return dict.fromkeys(resources, "replace")


def delete(*resources: str) -> Changes:
    return dict.fromkeys(resources, "delete")


ALARMS = (alarm("terminating-too-long"), alarm("dead-letters"))
DAEMON_ALARMS = tuple(alarm(key) for key in ("drains-failed", "drains-deadline", "drained-in-service"))


class Case(NamedTuple):
    """Inputs at first beside the group's name, those that are changed then, and what that does."""

    first: dict[str, Any]
    then: dict[str, Any]
    changes: Changes


ROLE_NAME = "workers"
OTHER_GROUP = "other"
WITH_ROLE = {"role_name": ROLE_NAME}
CASES = {
    "group_name": Case(
        {},
        {"group_name": OTHER_GROUP},
        replace(HOOK, *QUEUES, QUEUE_POLICY, DEAD_LETTER_POLICY, *rule("termination"), *ALARMS, DASHBOARD)
        | update(NOTIFIES),
    ),
    "heartbeat_timeout": Case({}, {"heartbeat_timeout": 400}, update(HOOK)),
    "default_result": Case(
        {}, {"default_result": "ABANDON"}, update(HOOK, DASHBOARD) | create(alarm("retained"))
    ),
    "notification_metadata": Case({}, {"notification_metadata": "blue"}, update(HOOK)),
    "drain_timeout": Case({}, {"drain_timeout": 7200}, update(alarm("terminating-too-long"))),
    "configuration": Case({}, {"drain_at": "wait", "agent": {"url": "http://127.0.0.1:9000"}}, {}),
    "no_launch_hook": Case({}, {"launch_hook": {}}, create(LAUNCH_HOOK)),
    "launch_hook": Case({"launch_hook": {}}, {"launch_hook": {"heartbeat_timeout": 60}}, update(LAUNCH_HOOK)),
    "spot_events": Case(
        {}, {"spot_events": True}, create(*rule("spot")) | update(QUEUE_POLICY, DEAD_LETTER_POLICY)
    ),
    "rebalance_events": Case(
        {}, {"rebalance_events": True}, create(*rule("rebalance")) | update(QUEUE_POLICY, DEAD_LETTER_POLICY)
    ),
    "kms_key_arn": Case(WITH_ROLE, {"kms_key_arn": KEY}, update(*QUEUES, POLICY)),
    "role_name": Case({}, WITH_ROLE, create(POLICY, ATTACHMENT)),
    "instance_tags": Case(WITH_ROLE, {"instance_tags": True}, update(POLICY)),
    "daemon_metrics": Case(
        WITH_ROLE, {"daemon_metrics": True}, update(POLICY, DASHBOARD) | create(*DAEMON_ALARMS)
    ),
    "completion_alarm": Case(
        {},
        {"completion_alarm": True},
        create(*counted("terminated"), *counted("completed"), "aws_cloudwatch_metric_alarm.unfinished[0]")
        | update(DASHBOARD),
    ),
    "terminating_alarm_minutes": Case(
        {}, {"terminating_alarm_minutes": 20}, update(alarm("terminating-too-long"))
    ),
    "alarm_actions": Case({}, {"alarm_actions": [TOPIC]}, update(*ALARMS)),
    "runbook_url": Case({}, {"runbook_url": "https://wiki.example/drain"}, update(*ALARMS)),
    "dashboard": Case({}, {"dashboard": False}, delete(DASHBOARD)),
    "tags": Case(
        WITH_ROLE, {"tags": {"team": "blue"}}, update(*QUEUES, rule("termination")[0], *ALARMS, POLICY)
    ),
    "hook_name": Case({}, {"hook_name": "leave"}, replace(HOOK) | update(rule("termination")[0])),
    # The queue stays, with what is in it. A hook keeps a target that it is not told to forget, so it is replaced.
    "eventbridge_to_direct": Case(
        {},
        {"wiring": "direct"},
        replace(HOOK)
        | update(NOTIFIES, QUEUE_POLICY, DASHBOARD)
        | create(*ROLE)
        | delete(*rule("termination"), QUEUES[1], DEAD_LETTER_POLICY, alarm("dead-letters")),
    ),
    "sns_to_eventbridge": Case(
        {"wiring": "sns"},
        {"wiring": "eventbridge"},
        replace(HOOK)
        | update(NOTIFIES, QUEUE_POLICY, DEAD_LETTER_POLICY)
        | create(*rule("termination"))
        | delete(*ROLE, *TOPICS),
    ),
    "direct_to_none": Case(
        {"wiring": "direct"},
        {"wiring": "none"},
        replace(HOOK) | update(NOTIFIES, DASHBOARD) | delete(QUEUES[0], QUEUE_POLICY, *ROLE),
    ),
    "none_to_eventbridge": Case(
        {"wiring": "none"},
        {"wiring": "eventbridge"},
        update(DASHBOARD)
        | create(*QUEUES, QUEUE_POLICY, DEAD_LETTER_POLICY, *rule("termination"), alarm("dead-letters")),
    ),
}


def test_life(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serve_aws() as aws:
        groups = {name: f"group-{name}" for name in CASES}
        for group in [*groups.values(), OTHER_GROUP]:
            aws.make_group(group)
        aws.make_role(ROLE_NAME)
        before = aws.inventory()
        stack = make_stack(aws, tmp_path_factory)
        first = {name: {"group_name": groups[name]} | case.first for name, case in CASES.items()}
        stack.write(first)
        stack.apply()
        stack.is_up_to_date()
        applied = aws.inventory()
        assert all(any(group in one for one in applied - before) for group in groups.values())

        stack.write({name: first[name] | case.then for name, case in CASES.items()})
        assert stack.plan() == {name: case.changes for name, case in CASES.items() if case.changes}
        stack.apply()
        stack.is_up_to_date()

        stack.destroy()
        assert aws.inventory() == before
