"""boto3 and the AWS CLI make every call that the simulator serves; each answer is held against the service model."""

import json
import re
from pathlib import Path
from uuid import uuid4

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from walk import CLI_EXAMPLES, Boto, Cli, shape, walk

PAGE = Path(__file__).parents[2] / "docs/simulator.md"

# A call of each service that is not served: its refusal names those that are.
NOT_SERVED = {"autoscaling": "EnterStandby", "sqs": "SendMessageBatch", "sts": "GetSessionToken"}

WITH_EXAMPLES = (
    "DescribeAutoScalingGroups",
    "DescribeAutoScalingInstances",
    "DescribeLifecycleHooks",
    "DescribeScalingActivities",
)

# What AWS's own examples have and the simulator has not: it launches without a template, into no subnet.
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


def test_cli(simulator, served, walked):
    with Cli(simulator.environment) as cli:
        walk(cli)
    assert set(cli.answers) == served
    # It prints times as text.
    shapes = {call: shape(json.loads(json.dumps(answer, default=str))) for call, answer in walked.answers.items()}
    assert {call: shape(answer) for call, answer in cli.answers.items()} == shapes


def test_page_lists_the_calls(served):
    rows = re.findall(r"^\| (\w+) \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(served)


def example(operation):
    """What the first example of the AWS CLI's own reference shows as an answer."""
    text = (CLI_EXAMPLES / "autoscaling" / f"{xform_name(operation, '-')}.rst").read_text()
    return json.JSONDecoder().raw_decode(text[text.index("{\n", text.index("Output::")) :])[0]


def test_examples_of_aws(walked):
    lacks = set()
    for operation in WITH_EXAMPLES:
        has = {path for path, _ in shape(walked.answers["autoscaling", operation])}
        lacks |= {path for path, _ in shape(example(operation))} - has
    within = {path for path in lacks if path.rpartition(".")[0] in lacks}
    assert lacks - within == LEFT_OUT


def test_pages(autoscaling, sqs):
    """Each call that boto3 pages gives the same in pages of one as in one page."""
    names = [f"pages-{uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        sqs.create_queue(QueueName=name)
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=2, MaxSize=2, AvailabilityZones=["eu-west-1a"]
        )
    groups = {"AutoScalingGroupNames": names}
    described = autoscaling.describe_auto_scaling_groups(**groups)["AutoScalingGroups"]
    instances = [instance["InstanceId"] for group in described for instance in group["Instances"]]
    assert pages(autoscaling, "describe_auto_scaling_groups", "AutoScalingGroups", **groups) == 2
    assert pages(autoscaling, "describe_auto_scaling_instances", "AutoScalingInstances", InstanceIds=instances) == 4
    assert pages(autoscaling, "describe_scaling_activities", "Activities", AutoScalingGroupName=names[0]) == 2
    assert pages(sqs, "list_queues", "QueueUrls", QueueNamePrefix="pages-") == 2


def pages(client, call, items, **arguments):
    """How many pages there are of one item each, which are together what there is without pages."""
    whole = getattr(client, call)(**arguments)
    assert "NextToken" not in whole
    paged = list(client.get_paginator(call).paginate(**arguments, PaginationConfig={"PageSize": 1}))
    together = [item for page in paged for item in page[items]]
    # An instance that is being launched changes meanwhile.
    assert [shape(item) for item in together] == [shape(item) for item in whole[items]]
    return len(paged)


def test_pages_and_waiters_of_boto3(served, simulator):
    """What boto3 can page is what `test_pages` pages; there is nothing to wait for."""
    paged = set()
    for service, operation in served:
        client = simulator.client(service)
        assert client.waiter_names == []
        paged |= {operation} if client.can_paginate(xform_name(operation)) else set()
    assert paged == {
        "DescribeAutoScalingGroups",
        "DescribeAutoScalingInstances",
        "DescribeScalingActivities",
        "ListQueues",
    }
