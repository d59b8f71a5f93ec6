"""moto's AWS, and Terraform stacks applied to it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from stack import Stack

REGION = "eu-west-1"
ACCOUNT = "123456789012"
STOP_SECONDS_MAX = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the longest test first. It mostly waits, and the `applying` fixture makes progress meanwhile."""
    items.sort(key=lambda item: item.path.name != "test_changes.py")


class Aws:
    """moto's URL, with clients for it."""

    def __init__(self, url: str):
        self.url = url
        self.environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )

    def make_group(self, name: str) -> None:
        """Creates an Auto Scaling group without instances."""
        self.client("ec2").create_launch_template(
            LaunchTemplateName=name, LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "t3.micro"}
        )
        self.client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
            MinSize=0,
            MaxSize=0,
            DesiredCapacity=0,
            AvailabilityZones=[f"{REGION}a"],
        )

    def make_role(self, name: str) -> None:
        """Creates a role that EC2 can assume."""
        allow = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        self.client("iam").create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        )

    def inventory(self) -> set[str]:
        """Every resource of a kind that the module can create."""
        sqs, sns, events = self.client("sqs"), self.client("sns"), self.client("events")
        iam, cloudwatch, autoscaling = self.client("iam"), self.client("cloudwatch"), self.client("autoscaling")
        found = set()
        for page in sqs.get_paginator("list_queues").paginate():
            found |= set(page.get("QueueUrls", []))
        for page in sns.get_paginator("list_topics").paginate():
            found |= {topic["TopicArn"] for topic in page["Topics"]}
        for page in sns.get_paginator("list_subscriptions").paginate():
            found |= {one["SubscriptionArn"] for one in page["Subscriptions"]}
        for page in iam.get_paginator("list_policies").paginate(Scope="Local"):
            found |= {policy["Arn"] for policy in page["Policies"]}
        for page in iam.get_paginator("list_roles").paginate():
            for role in page["Roles"]:
                attached = iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]
                found |= {role["Arn"]} | {f"{role['Arn']} has {policy['PolicyArn']}" for policy in attached}
        for page in events.get_paginator("list_rules").paginate():
            for rule in page["Rules"]:
                targets = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
                found |= {rule["Arn"]} | {f"{rule['Arn']} to {target['Arn']}" for target in targets}
        for page in cloudwatch.get_paginator("describe_alarms").paginate():
            found |= {alarm["AlarmArn"] for alarm in page["MetricAlarms"] + page["CompositeAlarms"]}
        for page in cloudwatch.get_paginator("list_dashboards").paginate():
            found |= {dashboard["DashboardArn"] for dashboard in page["DashboardEntries"]}
        for page in autoscaling.get_paginator("describe_auto_scaling_groups").paginate():
            for group in page["AutoScalingGroups"]:
                name = group["AutoScalingGroupName"]
                hooks = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]
                found |= {f"hook {hook['LifecycleHookName']} of {name}" for hook in hooks}
        return found


@contextmanager
def serve_aws() -> Iterator[Aws]:
    """An empty AWS."""
    command = [sys.executable, str(Path(__file__).with_name("aws.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin and server.stdout
        try:
            url = server.stdout.readline().strip()
            assert url.startswith("http://127.0.0.1:"), "moto's server did not start"
            yield Aws(url)
            server.stdin.close()
            server.wait(STOP_SECONDS_MAX)
        finally:
            server.kill()


def make_stack(aws: Aws, folders: pytest.TempPathFactory) -> Stack:
    return Stack(folders.mktemp("stack"), os.environ | aws.environment)


KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:on-call"
TARGET_GROUP = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/web/0123456789abcdef"

# Calls of the module, one per wiring, and `full` with almost every option. Each call has a group of the same name.
INPUTS: dict[str, dict[str, Any]] = {
    "workers": {},
    "direct": {"wiring": "direct"},
    "sns": {"wiring": "sns"},
    "none": {"wiring": "none"},
    "full": {
        "hook_name": "leave",
        "heartbeat_timeout": 600,
        "default_result": "ABANDON",
        "notification_metadata": "blue",
        "launch_hook": {"heartbeat_timeout": 120},
        "protection": {"busy_for": "1m"},
        "target_groups": [{"arn": TARGET_GROUP, "port": 8080}],
        "drain_timeout": 7200,
        "drain_at": "wait",
        "agent": {"unix": "/run/worker.sock", "unreachable_grace": "2m"},
        "spot_events": True,
        "capacity_events": True,
        "capacity_reservation_id": "cr-0123456789abcdef0",
        "kms_key_arn": KEY,
        "instance_tags": True,
        "daemon_metrics": True,
        "completion_alarm": True,
        "alarm_actions": [TOPIC],
        "runbook_url": "https://wiki.example/drain",
        "tags": {"team": "blue"},
    },
}
AGENT_SOCKET = Path(tempfile.mkdtemp(prefix="drainhook-")) / "agent.sock"
INPUTS["scale-in"] = {"agent": {"unix": str(AGENT_SOCKET)}, "notification_metadata": "from Terraform"}
for name, inputs in INPUTS.items():
    inputs |= {"group_name": name, "role_name": f"{name}-instances"}


class Applied:
    """What Terraform has created, read back from AWS."""

    def __init__(self, aws: Aws, outputs: dict[str, dict[str, Any]]):
        self.aws = aws
        self.outputs = outputs

    def hooks(self, call: str) -> dict[str, dict[str, Any]]:
        """The hooks of a call's group, by name."""
        autoscaling = self.aws.client("autoscaling")
        described = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=call)["LifecycleHooks"]
        for hook in described:
            # moto returns the same value for every hook.
            del hook["GlobalTimeout"]
        return {hook.pop("LifecycleHookName"): hook for hook in described}

    def queue(self, url: str) -> dict[str, str]:
        """A queue's attributes."""
        return self.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]

    def queue_policy(self, url: str) -> dict[str, Any]:
        return json.loads(self.queue(url)["Policy"])

    def role_policies(self, role: str) -> list[dict[str, Any]]:
        """A role's policies, attached and inline. The role is a name or an ARN."""
        role = role.rsplit("/", 1)[-1]
        iam = self.aws.client("iam")
        policies = []
        for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            arn = attached["PolicyArn"]
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            policies.append(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            policies.append(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
        return policies

    def trust(self, role: str) -> dict[str, Any]:
        """A role's trust policy, by the role's ARN."""
        return self.aws.client("iam").get_role(RoleName=role.rsplit("/", 1)[-1])["Role"]["AssumeRolePolicyDocument"]


@pytest.fixture(scope="session", autouse=True)
def applying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Applied]]:
    """Starts the apply at once, in the background. It mostly waits, so other tests can run meanwhile."""
    with serve_aws() as aws, ThreadPoolExecutor() as pool:
        for inputs in INPUTS.values():
            aws.make_group(inputs["group_name"])
            aws.make_role(inputs["role_name"])
        stack = make_stack(aws, tmp_path_factory)
        stack.write(INPUTS)
        yield pool.submit(lambda: Applied(aws, stack.apply()))
    shutil.rmtree(AGENT_SOCKET.parent)


@pytest.fixture(scope="session")
def applied(applying: Future[Applied]) -> Applied:
    return applying.result()
