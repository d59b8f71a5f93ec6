"""Compares the simulator with moto 5.2.5. docs/simulator.md says for each difference which one is right, and why."""

from uuid import uuid4

import boto3
import pytest
import requests
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws
from refusals import REFUSALS, Ground
from walk import LAUNCH_CONFIGURATION, Boto, shape, walk

# Calls that moto does not implement.
MISSING = {"CompleteLifecycleAction", "RecordLifecycleActionHeartbeat"}

# Fields that only the simulator returns, and fields that only moto returns.
SIMULATOR_ALONE = {
    "DescribeAutoScalingGroups": {
        "AutoScalingGroups[].InstanceLifecyclePolicy",
        "AutoScalingGroups[].TrafficSources",
    },
    "DescribeLifecycleHooks": {"LifecycleHooks[].NotificationMetadata"},
    "DescribeScalingActivities": {"Activities[]"},
    "TerminateInstanceInAutoScalingGroup": {"Activity.Details"},
}
MOTO_ALONE = {
    "DescribeAutoScalingGroups": {
        "AutoScalingGroups[].CapacityRebalance",
        "AutoScalingGroups[].Instances[].LaunchConfigurationName",
        "AutoScalingGroups[].LaunchConfigurationName",
    },
    "DescribeAutoScalingInstances": {"AutoScalingInstances[].LaunchConfigurationName"},
    "DescribeLifecycleHooks": {"LifecycleHooks[].NotificationTargetARN", "LifecycleHooks[].RoleARN"},
    "TerminateInstanceInAutoScalingGroup": {"Activity.EndTime"},
}

# AWS answers operations without output with an empty body. moto does not.
BODIES = {"ChangeMessageVisibility", "DeleteMessage", "DeleteQueue", "PurgeQueue", "SetQueueAttributes"}

ACCEPTED = "moto accepts the call"
BROKEN = "moto fails with a Python exception"

# Refusals where moto has the same code and status, but another message.
OTHER_MESSAGE = {
    "ChangeMessageVisibility-43201-seconds",
    "ChangeMessageVisibility-no-receipt-handle",
    "CreateQueue-another-timeout",
    "DeleteMessage-no-receipt-handle",
    "ReceiveMessage-a-wait-of-21-seconds",
    "ReceiveMessage-eleven-messages",
}
# Refusals where moto accepts the call, fails, or has another code.
OTHER_RESULT = {
    "ChangeMessageVisibility-below-0-seconds": ACCEPTED,
    "ChangeMessageVisibility-deleted": "ReceiptHandleIsInvalid",
    "ChangeMessageVisibilityBatch-a-colon-in-an-id": ACCEPTED,
    "ChangeMessageVisibilityBatch-an-id-of-81-letters": ACCEPTED,
    "ChangeMessageVisibilityBatch-eleven-entries": ACCEPTED,
    "ChangeMessageVisibilityBatch-no-entry": ACCEPTED,
    "ChangeMessageVisibilityBatch-two-entries-with-one-id": ACCEPTED,
    "CreateAutoScalingGroup-exists": ACCEPTED,
    "DeleteLifecycleHook-unknown-group": ACCEPTED,
    "DeleteLifecycleHook-unknown-hook": ACCEPTED,
    "DeleteMessageBatch-a-colon-in-an-id": ACCEPTED,
    "DeleteMessageBatch-an-id-of-81-letters": ACCEPTED,
    "DeleteMessageBatch-eleven-entries": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "DescribeAutoScalingInstances-invalid-token": ACCEPTED,
    "DescribeLifecycleHooks-unknown-group": ACCEPTED,
    "PutLifecycleHook-10-seconds": ACCEPTED,
    "PutLifecycleHook-unknown-group": ACCEPTED,
    "SendMessage-no-body": ACCEPTED,
    "SetDesiredCapacity-above-the-maximum": ACCEPTED,
    "SetDesiredCapacity-unknown-group": BROKEN,
    "SetInstanceProtection-unknown-group": BROKEN,
    "SetInstanceProtection-unknown-instance": ACCEPTED,
    "SetQueueAttributes-43201-seconds": ACCEPTED,
    "TerminateInstanceInAutoScalingGroup-below-the-minimum": ACCEPTED,
    "TerminateInstanceInAutoScalingGroup-unknown-instance": BROKEN,
}


def client(service):
    return boto3.client(service, region_name="eu-west-1", config=Config(parameter_validation=False))


@pytest.fixture(scope="module")
def moto():
    with mock_aws():
        client("autoscaling").create_launch_configuration(
            LaunchConfigurationName=LAUNCH_CONFIGURATION, ImageId="ami-12c6146b", InstanceType="m7g.large"
        )
        yield


class Moto(Boto):
    """boto3 with moto, where every change takes effect at once."""

    def call(self, service, operation, **arguments):
        if operation in MISSING:
            with pytest.raises(NotImplementedError):
                super().call(service, operation, **arguments)
            return None
        return super().call(service, operation, **arguments)

    def wait_for(self, instance, state):
        pass


@pytest.fixture(scope="module")
def walks(simulator, moto):
    """The answers of the simulator, and those of moto."""
    ours, theirs = Boto(simulator.client), Moto(client)
    (theirs.vpc,) = (vpc["VpcId"] for vpc in client("ec2").describe_vpcs()["Vpcs"])
    for boto in (ours, theirs):
        walk(boto)
    return ours, theirs


def topmost(shapes):
    """The paths whose parents are not among the paths."""
    paths = {path for path, _ in shapes}
    return {path for path in paths if not {path.rpartition(".")[0], path.removesuffix("[]")} & (paths - {path})}


def test_shapes(walks):
    ours, theirs = walks
    alone = [{}, {}]
    for service, operation in theirs.answers:
        pair = shape(ours.answers[service, operation]), shape(theirs.answers[service, operation])
        for place, (one, other) in enumerate([pair, pair[::-1]]):
            # moto's target groups have settings that the simulator leaves out.
            if one - other and not (place and service == "elbv2"):
                alone[place][operation] = topmost(one - other)
    assert alone == [SIMULATOR_ALONE, MOTO_ALONE]
    assert ours.faults == []
    assert {fault.split(":")[0] for fault in theirs.faults} == BODIES


def test_values(walks):
    ours, theirs = (boto.answers for boto in walks)
    groups, instances = ("autoscaling", "DescribeAutoScalingGroups"), ("autoscaling", "DescribeAutoScalingInstances")
    health = [answers[instances]["AutoScalingInstances"][0]["HealthStatus"] for answers in (ours, theirs)]
    assert health == ["HEALTHY", "Healthy"]
    grace = [answers[groups]["AutoScalingGroups"][0]["HealthCheckGracePeriod"] for answers in (ours, theirs)]
    assert grace == [0, 300]
    created = [answers["sqs", "GetQueueAttributes"]["Attributes"]["CreatedTimestamp"] for answers in (ours, theirs)]
    assert [text.isdigit() for text in created] == [True, False]


def test_refusals(moto):
    clients = {service: client(service) for service in ("autoscaling", "sqs")}
    messages, results = set(), {}
    for place, refusal in enumerate(REFUSALS):
        if refusal.operation in MISSING:
            continue
        ground = Ground(clients["autoscaling"], clients["sqs"], f"ground-{place}")
        said = answer_of_moto(clients[refusal.service], refusal, ground)
        if said == (refusal.code, refusal.status, ground.fill(refusal.message)):
            continue
        if said[:2] == (refusal.code, refusal.status):
            messages.add(str(refusal))
        else:
            results[str(refusal)] = said[0]
    assert messages == OTHER_MESSAGE
    assert results == OTHER_RESULT


def answer_of_moto(client, refusal, ground):
    try:
        getattr(client, xform_name(refusal.operation))(**ground.fill(refusal.arguments))
    except ClientError as error:
        answer = error.response
        return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]
    except (KeyError, StopIteration):
        return (BROKEN,)
    return (ACCEPTED,)


def test_instances(moto):
    """moto's hooks have no effect: a terminated instance is gone at once."""
    autoscaling = client("autoscaling")
    ground = Ground(autoscaling, client("sqs"), "instances")
    instance = ground.names["instance"]
    described = autoscaling.describe_auto_scaling_instances(InstanceIds=[instance])["AutoScalingInstances"]
    assert [one["LifecycleState"] for one in described] == ["InService"]
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=False)
    assert autoscaling.describe_auto_scaling_instances(InstanceIds=[instance])["AutoScalingInstances"] == []


def test_older_receipt_handles(moto, sqs):
    """An older receipt handle has no effect in the simulator, as in AWS. moto accepts it."""
    for boto, left in ((sqs, 1), (client("sqs"), 0)):
        queue = {"QueueUrl": boto.create_queue(QueueName=f"older-{uuid4().hex[:8]}")["QueueUrl"]}
        boto.send_message(MessageBody="x", **queue)
        (older,) = boto.receive_message(VisibilityTimeout=0, **queue)["Messages"]
        boto.receive_message(**queue)
        again = {"ReceiptHandle": older["ReceiptHandle"], "VisibilityTimeout": 0} | queue
        if boto is sqs:
            with pytest.raises(ClientError):
                boto.change_message_visibility(**again)
        else:
            boto.change_message_visibility(**again)
        boto.delete_message(ReceiptHandle=older["ReceiptHandle"], **queue)
        attributes = boto.get_queue_attributes(AttributeNames=["All"], **queue)["Attributes"]
        counts = [attributes[name] for name in attributes if name.startswith("ApproximateNumberOfMessages")]
        assert sum(map(int, counts)) == left


def test_sqs_query_protocol(moto):
    answer = requests.post(
        "https://sqs.eu-west-1.amazonaws.com/", data={"Action": "ListQueues", "Version": "2012-11-05"}
    )
    assert (answer.status_code, "<ListQueuesResponse" in answer.text) == (200, True)


def test_imds(moto):
    """moto's IMDS requires no token, and has no Auto Scaling category."""
    metadata = "http://169.254.169.254/latest/meta-data"
    assert requests.get(f"{metadata}/instance-id").status_code == 200
    with pytest.raises(NotImplementedError):
        requests.get(f"{metadata}/autoscaling/target-lifecycle-state")
