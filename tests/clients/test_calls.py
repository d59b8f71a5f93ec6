"""boto3 and the AWS CLI make every call that the simulator serves. The service model checks each answer."""

import json
import re
from pathlib import Path
from uuid import uuid4

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from model import faults
from walk import CLI_EXAMPLES, Boto, Cli, shape, walk

PAGE = Path(__file__).parents[2] / "docs/simulator.md"

# For each service, a call that the simulator does not serve. The error lists the calls that it serves.
NOT_SERVED = {"autoscaling": "EnterStandby", "elbv2": "DeleteTargetGroup", "sqs": "SendMessageBatch", "sts": "GetSessionToken"}

WITH_EXAMPLES = (
    "DescribeAutoScalingGroups",
    "DescribeAutoScalingInstances",
    "DescribeLifecycleHooks",
    "DescribeScalingActivities",
)

# Fields in AWS's examples that the simulator lacks: it launches without a template and without a subnet.
LEFT_OUT = {
    "AutoScalingGroups[].LaunchTemplate",
    "AutoScalingGroups[].Instances[].LaunchTemplate",
    "AutoScalingGroups[].VPCZoneIdentifier",
    "AutoScalingInstances[].LaunchTemplate",
}


@pytest.fixture(scope="module")
def served(simulator):
    """Every call that the simulator says it serves."""
    calls = set()
    for service, operation in NOT_SERVED.items():
        client = simulator.client(service, parameter_validation=False)
        with pytest.raises(ClientError) as caught:
            getattr(client, xform_name(operation))()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        named = caught.value.response["Error"]["Message"].split("this simulator serves ")[1].split(", ")
        calls.update((service, name) for name in named)
    return calls


@pytest.fixture(scope="module")
def walked(simulator):
    boto = Boto(simulator.client)
    walk(boto)
    return boto


def test_boto3(walked, served):
    assert walked.faults == []
    assert set(walked.answers) == served


@pytest.mark.parametrize(
    ("operation", "good", "bad", "fault"),
    [
        ("DescribeAutoScalingInstances", b"<InstanceType>", b"<X>1</X><InstanceType>", "has X, which"),
        (
            "DescribeAutoScalingInstances",
            b"<InstanceId>",
            b"<InstanceId>i</InstanceId><InstanceId>",
            "InstanceId twice",
        ),
        ("DescribeScalingActivities", b"Cause>", b"Kause>", "lacks Cause"),
        ("DescribeLifecycleHooks", b"<HeartbeatTimeout>", b"<HeartbeatTimeout>1.", "is not of type integer"),
        ("DescribeLifecycleHooks", b"2011-01-01", b"2011-01-02", "is not in http"),
        ("DescribeLifecycleHooks", b"<GlobalTimeout>", b"<GlobalTimeout><X/>", "not text"),
        ("DescribeAutoScalingGroups", b"member>", b"item>", "has item, not member"),
        ("DescribeAutoScalingGroups", b"<LifecycleState>", b"<LifecycleState>X", "is not a value of LifecycleState"),
        ("DescribeAutoScalingGroups", b"<CreatedTime>", b"<CreatedTime>X", "is not of type timestamp"),
        ("CompleteLifecycleAction", b"CompleteLifecycleActionResult", b"X", "has ['ResponseMetadata', 'X']"),
        ("SetDesiredCapacity", b"RequestId", b"X", "no RequestId"),
        ("ReceiveMessage", b'"Body"', b'"X"', "has X, which is not in Message"),
        ("DeleteMessageBatch", b"true", b'"true"', "is not of type boolean"),
        ("DeleteMessageBatch", b'"Failed"', b'"X"', "lacks Failed"),
        ("DeleteMessage", b"", b"{}", "the body is not empty"),
    ],
)
def test_checks_find_faults(walked, operation, good, bad, fault):
    model, answer = walked.raw[operation]
    changed = answer | {"body": answer["body"].replace(good, bad)}
    assert changed["body"] != answer["body"]
    assert fault in "; ".join(faults(model, changed))


def test_cli(simulator, served, walked):
    with Cli(simulator.environment) as cli:
        walk(cli)
    assert set(cli.answers) == served
    # The CLI prints times as text.
    shapes = {call: shape(json.loads(json.dumps(answer, default=str))) for call, answer in walked.answers.items()}
    assert {call: shape(answer) for call, answer in cli.answers.items()} == shapes


def test_docs_list_the_calls(served):
    rows = re.findall(r"^\| (\w+) \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(served)


def example(operation):
    """The answer in the first example of the AWS CLI's reference."""
    text = (CLI_EXAMPLES / "autoscaling" / f"{xform_name(operation, '-')}.rst").read_text()
    return json.JSONDecoder().raw_decode(text[text.index("{\n", text.index("Output::")) :])[0]


def test_aws_examples(walked):
    lacks = set()
    for operation in WITH_EXAMPLES:
        has = {path for path, _ in shape(walked.answers["autoscaling", operation])}
        lacks |= {path for path, _ in shape(example(operation))} - has
    within = {path for path in lacks if path.rpartition(".")[0] in lacks}
    assert lacks - within == LEFT_OUT


def test_pagination(autoscaling, sqs):
    """Each paginated call returns the same items in pages of one as in one page."""
    names = [f"pages-{uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        sqs.create_queue(QueueName=name)
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=2, MaxSize=2, AvailabilityZones=["eu-west-1a"]
        )
    groups = {"AutoScalingGroupNames": names}
    described = autoscaling.describe_auto_scaling_groups(**groups)["AutoScalingGroups"]
    instances = {"InstanceIds": [instance["InstanceId"] for group in described for instance in group["Instances"]]}
    activities = {"AutoScalingGroupName": names[0]}
    for client, call, arguments, items, name, count in (
        (autoscaling, "describe_auto_scaling_groups", groups, "AutoScalingGroups", "AutoScalingGroupName", 2),
        (autoscaling, "describe_auto_scaling_instances", instances, "AutoScalingInstances", "InstanceId", 4),
        (autoscaling, "describe_scaling_activities", activities, "Activities", "ActivityId", 2),
        (sqs, "list_queues", {"QueueNamePrefix": "pages-"}, "QueueUrls", None, 2),
    ):
        whole = getattr(client, call)(**arguments)
        assert "NextToken" not in whole
        pages = list(client.get_paginator(call).paginate(**arguments, PaginationConfig={"PageSize": 1}))
        assert len(pages) == count
        together = [item for page in pages for item in page[items]]
        # Compare only names, because the other fields change while instances launch.
        names_of = [[item[name] if name else item for item in listed] for listed in (together, whole[items])]
        assert names_of[0] == names_of[1]


def test_boto3_paginators_and_waiters(served, simulator):
    """`test_pagination` covers every served call that boto3 can paginate, except for target groups, which are on one page. boto3
    has waiters only for Elastic Load Balancing.
    """
    paged = set()
    for service, operation in served:
        client = simulator.client(service)
        assert service == "elbv2" or client.waiter_names == []
        paged |= {operation} if client.can_paginate(xform_name(operation)) else set()
    assert paged - {"DescribeTargetGroups"} == {
        "DescribeAutoScalingGroups",
        "DescribeAutoScalingInstances",
        "DescribeScalingActivities",
        "ListQueues",
    }
