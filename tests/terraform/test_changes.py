"""The life of a stack: applied, changed in each of its inputs, destroyed.

Each case is one call of the module, with a group of its own, so that one apply of Terraform's does for all.
"""

from collections.abc import Callable
from typing import Any

from conftest import Aws, inventory, make_group, make_role
from stack import Stack

Inputs = dict[str, Any]
# What a change does, by resource: AWS forgets what is replaced or deleted, and a queue's messages with it.
Changes = dict[str, str]

KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:on-call"

HOOK = {"aws_autoscaling_lifecycle_hook.this": "update"}
LAUNCH_HOOK = "aws_autoscaling_lifecycle_hook.launch[0]"
POLICY = {"aws_iam_policy.this[0]": "update"}
QUEUE = "aws_sqs_queue.this[0]"
DEAD_LETTER = "aws_sqs_queue.dead_letter[0]"
QUEUE_POLICY = "aws_sqs_queue_policy.this[0]"
DEAD_LETTER_POLICY = "aws_sqs_queue_policy.dead_letter[0]"
DASHBOARD = "aws_cloudwatch_dashboard.this[0]"


def alarm(name: str) -> str:
    return f'aws_cloudwatch_metric_alarm.this["{name}"]'


ALARMS = (alarm("terminating-too-long"), alarm("dead-letters"))


def all_of(action: str, *resources: str) -> Changes:
    return dict.fromkeys(resources, action)


def rule(key: str) -> tuple[str, str]:
    return f'aws_cloudwatch_event_rule.this["{key}"]', f'aws_cloudwatch_event_target.this["{key}"]'


# name: (inputs at first, inputs that are changed, what that does)
CASES: dict[str, tuple[Inputs, Inputs, Changes]] = {
    "heartbeat_timeout": ({}, {"heartbeat_timeout": 400}, HOOK),
}


def test_life(aws: Aws, make_stack: Callable[[], Stack]) -> None:
    before = inventory(aws)
    groups = {name: make_group(aws) for name in CASES}
    first = {
        name: {"group_name": groups[name]} | inputs for name, (inputs, _, _) in CASES.items()
    }
    second = {name: first[name] | CASES[name][1] for name in CASES}
    import time
    t=time.time()
    stack = make_stack()
    stack.write(first)
    print("init", time.time()-t); t=time.time()
    stack.apply()
    print("apply", time.time()-t); t=time.time()
    stack.is_up_to_date()
    print("plan", time.time()-t); t=time.time()

    stack.write(second)
    print(stack.plan())
    print("plan", time.time()-t); t=time.time()
    stack.apply()
    stack.is_up_to_date()
    print("apply, plan", time.time()-t); t=time.time()
    stack.destroy()
    print("destroy", time.time()-t); t=time.time()
