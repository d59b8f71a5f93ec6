"""The simulator beside moto 5.2.5: docs/simulator.md says of each difference which of the two is right, and why."""

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

# Calls that moto has not.
MISSING = {"CompleteLifecycleAction", "RecordLifecycleActionHeartbeat"}

# What one has and the other has not.
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

# An operation without output has an empty body.
BODIES = {"ChangeMessageVisibility", "DeleteMessage", "DeleteQueue", "PurgeQueue", "SetQueueAttributes"}

TAKEN = "moto takes it"
BROKEN = "moto fails with an exception of Python's"

# Refusals of which moto has the code and the status, but other words.
OTHER_WORDS = {
    "ChangeMessageVisibility-43201-seconds",
    "ChangeMessageVisibility-no-receipt-handle",
    "CreateQueue-another-timeout",
    "DeleteMessage-no-receipt-handle",
    "ReceiveMessage-a-wait-of-21-seconds",
    "ReceiveMessage-eleven-messages",
}
# Refusals that are something else with moto.
OTHERWISE = {
    "ChangeMessageVisibility-below-0-seconds": TAKEN,
    "ChangeMessageVisibility-deleted": "ReceiptHandleIsInvalid",
    "ChangeMessageVisibilityBatch-a-colon-in-an-id": TAKEN,
    "ChangeMessageVisibilityBatch-an-id-of-81-letters": TAKEN,
    "ChangeMessageVisibilityBatch-eleven-entries": TAKEN,
    "ChangeMessageVisibilityBatch-no-entry": TAKEN,
    "ChangeMessageVisibilityBatch-two-entries-with-one-id": TAKEN,
    "CreateAutoScalingGroup-exists": TAKEN,
    "DeleteLifecycleHook-unknown-group": TAKEN,
    "DeleteLifecycleHook-unknown-hook": TAKEN,
    "DeleteMessageBatch-a-colon-in-an-id": TAKEN,
    "DeleteMessageBatch-an-id-of-81-letters": TAKEN,
    "DeleteMessageBatch-eleven-entries": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "DescribeAutoScalingInstances-invalid-token": TAKEN,
    "DescribeLifecycleHooks-unknown-group": TAKEN,
    "PutLifecycleHook-10-seconds": TAKEN,
    "PutLifecycleHook-unknown-group": TAKEN,
    "SendMessage-no-body": TAKEN,
    "SetDesiredCapacity-above-the-maximum": TAKEN,
    "SetDesiredCapacity-unknown-group": BROKEN,
    "SetQueueAttributes-43201-seconds": TAKEN,
    "TerminateInstanceInAutoScalingGroup-below-the-minimum": TAKEN,
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
    """boto3 with moto, in whose groups nothing takes time."""

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
    """The answers of the simulator, and moto's."""
    ours, theirs = Boto(simulator.client), Moto(client)
    for boto in (ours, theirs):
        walk(boto)
    return ours, theirs


def topmost(shapes):
    """The paths that are not within another."""
    paths = {path for path, _ in shapes}
    return {path for path in paths if not {path.rpartition(".")[0], path.removesuffix("[]")} & (paths - {path})}


def test_shapes(walks):
    ours, theirs = walks
    alone = [{}, {}]
    for service, operation in theirs.answers:
        pair = shape(ours.answers[service, operation]), shape(theirs.answers[service, operation])
        for place, (one, other) in enumerate([pair, pair[::-1]]):
            if one - other:
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
    words, otherwise = set(), {}
    for place, refusal in enumerate(REFUSALS):
        if refusal.operation in MISSING:
            continue
        ground = Ground(clients["autoscaling"], clients["sqs"], f"ground-{place}")
        said = what_moto_says(clients[refusal.service], refusal, ground)
        if said == (refusal.code, refusal.status, ground.fill(refusal.message)):
            continue
        if said[:2] == (refusal.code, refusal.status):
            words.add(str(refusal))
        else:
            otherwise[str(refusal)] = said[0]
    assert words == OTHER_WORDS
    assert otherwise == OTHERWISE


def what_moto_says(client, refusal, ground):
    try:
        getattr(client, xform_name(refusal.operation))(**ground.fill(refusal.arguments))
    except ClientError as error:
        answer = error.response
        return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]
    except (KeyError, StopIteration):
        return (BROKEN,)
    return (TAKEN,)


def test_instances(moto):
    """moto's hooks do nothing, and nothing takes time."""
    autoscaling = client("autoscaling")
    ground = Ground(autoscaling, client("sqs"), "instances")
    instance = ground.names["instance"]
    described = autoscaling.describe_auto_scaling_instances(InstanceIds=[instance])["AutoScalingInstances"]
    assert [one["LifecycleState"] for one in described] == ["InService"]
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=False)
    assert autoscaling.describe_auto_scaling_instances(InstanceIds=[instance])["AutoScalingInstances"] == []


def test_older_receipt_handles(moto, sqs):
    """The simulator's are good for nothing, moto's for everything."""
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


def test_older_protocol_of_sqs(moto):
    answer = requests.post(
        "https://sqs.eu-west-1.amazonaws.com/", data={"Action": "ListQueues", "Version": "2012-11-05"}
    )
    assert (answer.status_code, "<ListQueuesResponse" in answer.text) == (200, True)


def test_imds(moto):
    """It asks for no token, and knows nothing of Auto Scaling."""
    metadata = "http://169.254.169.254/latest/meta-data"
    assert requests.get(f"{metadata}/instance-id").status_code == 200
    with pytest.raises(NotImplementedError):
        requests.get(f"{metadata}/autoscaling/target-lifecycle-state")
