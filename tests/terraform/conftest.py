"""An AWS of moto's, and stacks in it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from stack import Stack

REGION = "eu-west-1"
READY_SECONDS_MAX = 60


class Aws:
    """Where moto answers, with clients for it."""

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
            config=Config(retries={"total_max_attempts": 1}),
        )


@pytest.fixture(scope="session")
def aws() -> Iterator[Aws]:
    command = [sys.executable, str(Path(__file__).with_name("aws.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin and server.stdout
        url = server.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), "moto's server did not start"
        yield Aws(url)
        server.stdin.close()
        try:
            server.wait(READY_SECONDS_MAX)
        finally:
            server.kill()


@pytest.fixture(scope="session")
def make_stack(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Stack]:
    return lambda: Stack(tmp_path_factory.mktemp("stack"), os.environ | aws.environment)


def make_group(aws: Aws) -> str:
    """An Auto Scaling group without instances, with a name of its own."""
    name = f"workers-{uuid4().hex[:8]}"
    template = aws.client("ec2").create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "t3.micro"}
    )["LaunchTemplate"]
    aws.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateId": template["LaunchTemplateId"], "Version": "$Latest"},
        MinSize=0,
        MaxSize=0,
        DesiredCapacity=0,
        AvailabilityZones=[f"{REGION}a"],
    )
    return name


def make_role(aws: Aws) -> str:
    """A role that instances can have."""
    name = f"workers-{uuid4().hex[:8]}"
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    return name


def inventory(aws: Aws) -> set[str]:
    """All that is there of what the module can make."""
    sqs, sns, events = aws.client("sqs"), aws.client("sns"), aws.client("events")
    iam, cloudwatch, autoscaling = aws.client("iam"), aws.client("cloudwatch"), aws.client("autoscaling")
    found = set(sqs.list_queues().get("QueueUrls", []))
    found |= {topic["TopicArn"] for topic in sns.list_topics()["Topics"]}
    found |= {one["SubscriptionArn"] for one in sns.list_subscriptions()["Subscriptions"]}
    found |= {policy["Arn"] for policy in iam.list_policies(Scope="Local")["Policies"]}
    for role in iam.list_roles()["Roles"]:
        found.add(role["Arn"])
        for policy in iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]:
            found.add(f"{role['Arn']} has {policy['PolicyArn']}")
    for rule in events.list_rules()["Rules"]:
        found.add(rule["Arn"])
        found |= {
            f"{rule['Arn']} to {target['Arn']}"
            for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
        }
    alarms = cloudwatch.describe_alarms()
    found |= {alarm["AlarmArn"] for alarm in alarms["MetricAlarms"] + alarms["CompositeAlarms"]}
    found |= {dashboard["DashboardArn"] for dashboard in cloudwatch.list_dashboards()["DashboardEntries"]}
    for group in autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]:
        name = group["AutoScalingGroupName"]
        hooks = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]
        found |= {f"hook {hook['LifecycleHookName']} of {name}" for hook in hooks}
    return found
