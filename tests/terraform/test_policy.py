"""What the module's policies permit, and what they deny."""

import json
import re
from dataclasses import replace
from pathlib import Path

from conftest import ACCOUNT, INPUTS, KEY, REGION, TARGET_GROUP, Applied
from iam import ALLOWED, Policy, Request, Scene, decide, variants

SOURCE = Path(__file__).resolve().parents[2] / "src"
INSTANCE = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0123456789abcdef0"
OTHER_INSTANCE = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-0fedcba9876543210"
DAEMON = f"arn:aws:sts::{ACCOUNT}:assumed-role/workers/i-0123456789abcdef0"
ADMIN = f"arn:aws:iam::{ACCOUNT}:user/admin"
OTHER_ACCOUNT = "210987654321"
OTHER_ADMIN = f"arn:aws:iam::{OTHER_ACCOUNT}:user/admin"
OTHER_KEY = f"{KEY[:-4]}0000"
EVERYTHING: Policy = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
# A key policy that lets the account's IAM policies decide.
KEY_POLICY: Policy = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    ],
}
EVENTS, SNS, AUTOSCALING = (f"{service}.amazonaws.com" for service in ("events", "sns", "autoscaling"))

# `drainhook check` tries this call, but works without it.
DISPENSABLE = {"sqs:GetQueueAttributes"}


def group_arn(name: str, account: str = ACCOUNT) -> str:
    uuid = "12345678-1234-1234-1234-123456789012"
    return f"arn:aws:autoscaling:{REGION}:{account}:autoScalingGroup:{uuid}:autoScalingGroupName/{name}"


def asks(action: str, resource: str = "*", **context: str | list[str]) -> Request:
    """A call by the daemon. Write the context keys with `__` in place of `:`. They must have no other `_`."""
    from_here = {"ec2:SourceInstanceARN": INSTANCE}
    of_request = {key.replace("__", ":"): value for key, value in context.items()}
    return Request(DAEMON, action, resource, from_here | of_request)


def tags(action: str, instance: str, key: str) -> Request:
    return asks(action, instance, ec2__InstanceID=instance.rsplit("/", 1)[1], aws__TagKeys=[key])


def daemon_scene(applied: Applied, call: str) -> Scene:
    """Every call of a group's daemon, and calls that an attacker with its credentials might try."""
    group, inputs, outputs = group_arn(call), INPUTS[call], applied.outputs[call]
    requests = {
        "complete": asks("autoscaling:CompleteLifecycleAction", group),
        "heartbeat": asks("autoscaling:RecordLifecycleActionHeartbeat", group),
        "read hooks": asks("autoscaling:DescribeLifecycleHooks"),
        "read states": asks("autoscaling:DescribeAutoScalingInstances"),
        "complete another group's": asks("autoscaling:CompleteLifecycleAction", group_arn("other")),
        "complete a group's whose name begins the same": asks(
            "autoscaling:CompleteLifecycleAction", group_arn(f"{call}-2")
        ),
        "complete another account's": asks(
            "autoscaling:CompleteLifecycleAction", group_arn(call, OTHER_ACCOUNT)
        ),
        "another group's heartbeat": asks("autoscaling:RecordLifecycleActionHeartbeat", group_arn("other")),
        "change the hook": asks("autoscaling:PutLifecycleHook", group),
        "delete the hook": asks("autoscaling:DeleteLifecycleHook", group),
        "scale": asks("autoscaling:SetDesiredCapacity", group),
        "protect": asks("autoscaling:SetInstanceProtection", group),
        "protect in another group": asks("autoscaling:SetInstanceProtection", group_arn("other")),
        "terminate through the group": asks("autoscaling:TerminateInstanceInAutoScalingGroup", group),
        "terminate itself": asks("ec2:TerminateInstances", INSTANCE),
        "terminate another": asks("ec2:TerminateInstances", OTHER_INSTANCE),
        "leave a target group": asks("elasticloadbalancing:DeregisterTargets", TARGET_GROUP),
        "come back to a target group": asks("elasticloadbalancing:RegisterTargets", TARGET_GROUP),
        "leave another target group": asks("elasticloadbalancing:DeregisterTargets", f"{TARGET_GROUP}-2"),
        "delete a target group": asks("elasticloadbalancing:DeleteTargetGroup", TARGET_GROUP),
        "look at targets": asks("elasticloadbalancing:DescribeTargetHealth"),
        "read the deregistration delay": asks("elasticloadbalancing:DescribeTargetGroupAttributes"),
        "read the group's target groups": asks("autoscaling:DescribeAutoScalingGroups"),
        "publish metrics": asks("cloudwatch:PutMetricData", cloudwatch__namespace="drainhook"),
        "publish others' metrics": asks("cloudwatch:PutMetricData", cloudwatch__namespace="AWS/AutoScaling"),
        "tag itself": tags("ec2:CreateTags", INSTANCE, "drainhook:state"),
        "untag itself": tags("ec2:DeleteTags", INSTANCE, "drainhook:deadline"),
        "tag itself with a name": tags("ec2:CreateTags", INSTANCE, "Name"),
        "remove all tags of itself": asks("ec2:DeleteTags", INSTANCE, ec2__InstanceID=INSTANCE.rsplit("/", 1)[1]),
        "tag another": tags("ec2:CreateTags", OTHER_INSTANCE, "drainhook:state"),
        "untag another": tags("ec2:DeleteTags", OTHER_INSTANCE, "drainhook:state"),
        "tag an image": asks(
            "ec2:CreateTags", f"arn:aws:ec2:{REGION}::image/ami-12c6146b", aws__TagKeys=["drainhook:state"]
        ),
        "decrypt messages": asks("kms:Decrypt", KEY, kms__ViaService=f"sqs.{REGION}.amazonaws.com"),
        "decrypt through S3": asks("kms:Decrypt", KEY, kms__ViaService=f"s3.{REGION}.amazonaws.com"),
        "decrypt with another key": asks(
            "kms:Decrypt", OTHER_KEY, kms__ViaService=f"sqs.{REGION}.amazonaws.com"
        ),
    }
    of_resource = {KEY: KEY_POLICY, OTHER_KEY: KEY_POLICY}
    queue = outputs["queue_arn"]
    if queue:
        requests |= {
            "receive": asks("sqs:ReceiveMessage", queue),
            "give back": asks("sqs:ChangeMessageVisibility", queue),
            "delete": asks("sqs:DeleteMessage", queue),
            "receive in the clear": replace(asks("sqs:ReceiveMessage", queue), over_tls=False),
            "receive from another queue": asks("sqs:ReceiveMessage", f"{queue}-2"),
            "receive dead letters": asks("sqs:ReceiveMessage", f"{queue}-dead-letter"),
            "delete from another queue": asks("sqs:DeleteMessage", f"{queue}-2"),
            "hide in another queue": asks("sqs:ChangeMessageVisibility", f"{queue}-2"),
            "send": asks("sqs:SendMessage", queue),
            "purge": asks("sqs:PurgeQueue", queue),
            "change the queue": asks("sqs:SetQueueAttributes", queue),
            "delete the queue": asks("sqs:DeleteQueue", queue),
        }
        of_resource[queue] = applied.queue_policy(outputs["queue_url"])
    identity = {DAEMON: applied.role_policies(inputs["role_name"])}
    return Scene(requests, identity, of_resource)


NEEDED = {"complete", "heartbeat", "read hooks", "read states"}
NEEDED_OF_QUEUE = {"receive", "give back", "delete"}
NEEDED_OF_TARGETS = {
    "leave a target group",
    "come back to a target group",
    "look at targets",
    "read the deregistration delay",
    "read the group's target groups",
}
NEEDED_OF_PROTECTION = {"protect"}
NEEDED_OF_OPTIONS = NEEDED_OF_PROTECTION | {"publish metrics", "tag itself", "untag itself", "decrypt messages"}


def allowed(scene: Scene) -> set[str]:
    (decisions,) = decide(scene)
    return {name for name, decision in decisions.items() if decision == ALLOWED}


def test_needed_lists_every_call_of_the_daemon(applied: Applied) -> None:
    """Compares the list above with the source. If you add a call to the daemon, permit it and add it to the list."""
    named = re.compile(r'(?:let call = |classify\(|within\()"(\w+:\w+)"')
    files = [file for folder in ("aws", "cli/check") for file in (SOURCE / folder).rglob("*.rs")]
    called = {action for file in files if file.stem != "tests" for action in named.findall(file.read_text())}
    requests = daemon_scene(applied, "workers").requests
    needed = NEEDED | NEEDED_OF_QUEUE | NEEDED_OF_TARGETS | NEEDED_OF_PROTECTION
    assert called - DISPENSABLE == {requests[name].action for name in needed}


def test_daemon_permissions(applied: Applied) -> None:
    assert allowed(daemon_scene(applied, "none")) == NEEDED
    for call in ("workers", "direct", "sns"):
        assert allowed(daemon_scene(applied, call)) == NEEDED | NEEDED_OF_QUEUE, call
    every_option = NEEDED_OF_TARGETS | NEEDED_OF_OPTIONS
    assert allowed(daemon_scene(applied, "full")) == NEEDED | NEEDED_OF_QUEUE | every_option


def test_policy_json_is_the_attached_policy(applied: Applied) -> None:
    for call, inputs in INPUTS.items():
        assert applied.role_policies(inputs["role_name"]) == [json.loads(applied.outputs[call]["policy_json"])]


def hook_role(applied: Applied, call: str) -> str:
    """The ARN of the role that Auto Scaling assumes to send the hook's messages."""
    (hook,) = applied.hooks(call).values()
    return hook["RoleARN"]


def session(role: str) -> str:
    """The principal of Auto Scaling in that role."""
    return f"{role.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/AutoScaling"


def sender_scene(applied: Applied, call: str) -> Scene:
    """Principals that might send to the queue. An administrator may do all that the queue's policy does not deny."""
    outputs = applied.outputs[call]
    queue = outputs["queue_arn"]

    def sends(principal: str, **context: str) -> Request:
        return Request(principal, "sqs:SendMessage", queue, {key.replace("__", ":"): v for key, v in context.items()})

    rule = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{call}"
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:{call}-termination"
    hook = hook_role(applied, call) if call in ("direct", "sns") else f"arn:aws:iam::{ACCOUNT}:role/some-hook"
    other = Request(ADMIN, "sqs:ReceiveMessage", queue)
    requests = {
        "the rule": sends(EVENTS, aws__SourceArn=f"{rule}-termination"),
        "the spot rule": sends(EVENTS, aws__SourceArn=f"{rule}-spot"),
        "another rule": sends(EVENTS, aws__SourceArn=f"{rule}-other"),
        "another account's rule": sends(EVENTS, aws__SourceArn=f"{rule.replace(ACCOUNT, OTHER_ACCOUNT)}-termination"),
        "no rule": sends(EVENTS),
        "the topic": sends(SNS, aws__SourceArn=topic),
        "another topic": sends(SNS, aws__SourceArn=f"{topic}-2"),
        "the rule's name at SNS": sends(SNS, aws__SourceArn=f"{rule}-termination"),
        "the topic's name at EventBridge": sends(EVENTS, aws__SourceArn=topic),
        "the hook": sends(session(hook), aws__PrincipalArn=hook),
        "an administrator": sends(ADMIN, aws__PrincipalArn=ADMIN),
        "an administrator receives": other,
        "an administrator receives in the clear": replace(other, over_tls=False),
        "another account": sends(OTHER_ADMIN),
    }
    identity = {ADMIN: [EVERYTHING], OTHER_ADMIN: [EVERYTHING]}
    if call in ("direct", "sns"):
        identity[session(hook)] = applied.role_policies(hook)
    return Scene(requests, identity, {queue: applied.queue_policy(outputs["queue_url"])})


SENDERS = {
    "workers": {"the rule"},
    "full": {"the rule", "the spot rule"},
    "direct": {"the hook"},
    "sns": {"the topic"},
}


def test_permitted_senders(applied: Applied) -> None:
    for call, senders in SENDERS.items():
        assert allowed(sender_scene(applied, call)) == senders | {"an administrator receives"}, call


def hook_scene(applied: Applied, call: str) -> Scene:
    """Principals that might assume the hook's role."""
    role = hook_role(applied, call)

    def assumes(principal: str, group: str, account: str) -> Request:
        return Request(principal, "sts:AssumeRole", role, {"aws:SourceArn": group, "aws:SourceAccount": account})

    requests = {
        "the group": assumes(AUTOSCALING, group_arn(call), ACCOUNT),
        "another group": assumes(AUTOSCALING, group_arn("other"), ACCOUNT),
        "another account's group": assumes(AUTOSCALING, group_arn(call, OTHER_ACCOUNT), OTHER_ACCOUNT),
        "another account": assumes(AUTOSCALING, group_arn(call), OTHER_ACCOUNT),
        "another service": assumes(EVENTS, group_arn(call), ACCOUNT),
    }
    return Scene(requests, {}, {role: applied.trust(role)})


def test_hook_role(applied: Applied) -> None:
    for call in ("direct", "sns"):
        assert allowed(hook_scene(applied, call)) == {"the group"}
        hook = hook_role(applied, call)
        role = session(hook)
        queue = applied.outputs[call]["queue_arn"]
        topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:sns-termination"
        requests = {
            "publish": Request(role, "sns:Publish", topic),
            "find the queue": Request(role, "sqs:GetQueueUrl", queue),
            "send": Request(role, "sqs:SendMessage", queue),
            "send elsewhere": Request(role, "sqs:SendMessage", f"{queue}-2"),
            "publish elsewhere": Request(role, "sns:Publish", f"{topic}-2"),
            "receive": Request(role, "sqs:ReceiveMessage", queue),
        }
        expected = {"direct": {"find the queue", "send"}, "sns": {"publish"}}[call]
        assert allowed(Scene(requests, {role: applied.role_policies(hook)})) == expected


# Changes without effect, because another part of the same policy does the same.
REDUNDANT = {
    # The statement's conditions match only instances.
    "role: TagItself: for any resource",
    # NobodyElse denies all other senders, even those that their own policies permit.
    "queue of workers: Rules: without ArnEquals aws:SourceArn",
    "queue of full: Rules: without ArnEquals aws:SourceArn",
    "queue of sns: Topic: without ArnEquals aws:SourceArn",
}


def test_every_part_of_a_policy_has_an_effect(applied: Applied) -> None:
    """Removing or widening any part of a policy changes a decision, so these tests would fail."""
    scene = daemon_scene(applied, "full")
    ((principal, (role_policy,)),) = scene.identity.items()
    cases = [
        (f"role: {what}", scene, replace(scene, identity={principal: [policy]}))
        for what, policy in variants(role_policy)
    ]
    scenes = [(f"queue of {call}", sender_scene(applied, call)) for call in SENDERS]
    scenes += [(f"hook's role of {call}", hook_scene(applied, call)) for call in ("direct", "sns")]
    for name, scene in scenes:
        ((arn, own),) = scene.of_resource.items()
        cases += [
            (f"{name}: {what}", scene, replace(scene, of_resource={arn: policy})) for what, policy in variants(own)
        ]
    decisions = iter(decide(*(scene for _, *both in cases for scene in both)))
    assert {what for what, *_ in cases if next(decisions) == next(decisions)} == REDUNDANT
