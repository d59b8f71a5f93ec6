"""A stack is applied, each of its inputs is changed, and it is destroyed.

Each case is one call of the module with its own group, so one `terraform apply` covers all cases.
"""

from typing import Any, NamedTuple

import pytest
from conftest import KEY, TOPIC, make_stack, serve_aws

# Actions by resource. Replacing or deleting a queue would lose its messages.
Changes = dict[str, str]

HOOK = "aws_autoscaling_lifecycle_hook.this"
LAUNCH_HOOK = "aws_autoscaling_lifecycle_hook.launch[0]"
GROUP, NOTIFIES = "terraform_data.group", "terraform_data.notifies"
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


def rule(key: str) -> tuple[str, str]:
    return f'aws_cloudwatch_event_rule.this["{key}"]', f'aws_cloudwatch_event_target.this["{key}"]'


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
    """The first inputs without `group_name`, the inputs that then change, and the expected changes of resources."""

    first: dict[str, Any]
    then: dict[str, Any]
    changes: Changes


ROLE_NAME, OTHER_GROUP = "workers", "other"
# Inputs that affect different resources share a case, because each case takes Terraform time.
CASES = {
    "configuration": Case({}, {"drain_at": "wait", "agent": {"url": "http://127.0.0.1:9000"}}, {}),
    "hook": Case({}, {"heartbeat_timeout": 400, "notification_metadata": "blue"}, update(HOOK)),
    "default_result": Case(
        {}, {"default_result": "ABANDON"}, update(HOOK, DASHBOARD) | create(alarm("retained"))
    ),
    "drain_timeout": Case(
        {"completion_alarm": True, "launch_hook": {}},
        {"drain_timeout": 7200, "launch_hook": {"heartbeat_timeout": 60}},
        update(alarm("terminating-too-long"), LAUNCH_HOOK),
    ),
    "terminating_alarm_minutes": Case(
        {},
        {"terminating_alarm_minutes": 20, "dashboard": False, "launch_hook": {}},
        update(alarm("terminating-too-long")) | delete(DASHBOARD) | create(LAUNCH_HOOK),
    ),
    "alarms": Case({}, {"alarm_actions": [TOPIC], "runbook_url": "https://wiki.example/drain"}, update(*ALARMS)),
    "events": Case(
        {},
        {"spot_events": True, "rebalance_events": True, "capacity_events": True},
        create(*rule("spot"), *rule("rebalance"), *rule("capacity")) | update(QUEUE_POLICY, DEAD_LETTER_POLICY),
    ),
    "role_name": Case({}, {"role_name": ROLE_NAME}, create(POLICY, ATTACHMENT)),
    "policy": Case(
        {"role_name": ROLE_NAME}, {"instance_tags": True, "kms_key_arn": KEY}, update(*QUEUES, POLICY)
    ),
    "daemon_metrics": Case(
        {"role_name": ROLE_NAME},
        {"daemon_metrics": True},
        update(POLICY, DASHBOARD) | create(*DAEMON_ALARMS),
    ),
    "tags": Case(
        {"role_name": ROLE_NAME},
        {"tags": {"team": "blue"}},
        update(*QUEUES, rule("termination")[0], *ALARMS, POLICY),
    ),
    # AWS cannot rename a hook or move it to another group, so both changes replace the hook.
    "hook_name": Case({}, {"hook_name": "leave"}, replace(HOOK) | update(rule("termination")[0])),
    "group_name": Case(
        {"wiring": "none", "launch_hook": {}},
        {"group_name": OTHER_GROUP},
        replace(HOOK, LAUNCH_HOOK, alarm("terminating-too-long"), DASHBOARD) | update(GROUP),
    ),
    # The queue stays, with its messages. The hook is replaced: an update without a target would keep the old target.
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
}


def test_apply_change_and_destroy(tmp_path_factory: pytest.TempPathFactory) -> None:
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
