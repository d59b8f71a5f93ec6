"""The simulator's errors through boto3 and the AWS CLI."""

import json
import os
from unittest import mock
from uuid import uuid4

import boto3
import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from conftest import READY_SECONDS_MAX, Process, bare_environment, start_simulator
from model import error_faults
from refusals import AUTOSCALING, REFUSALS, Ground
from walk import Cli

# Without parameter validation, because boto3 itself would refuse some calls. AWS recommends the retry mode `standard`.
CONFIG = {"parameter_validation": False, "retries": {"mode": "standard"}}
ATTEMPTS = 3

DENIED = ("autoscaling:CompleteLifecycleAction", "autoscaling:DescribeAutoScalingInstances", "sqs:DeleteMessage")

# The type of an error in the JSON protocol, if it is not the last part of its code in the Query protocol.
KINDS = {
    "AWS.SimpleQueueService.NonExistentQueue": "QueueDoesNotExist",
    "InvalidParameterValue": "InvalidParameterValueException",
    "MissingParameter": "MissingRequiredParameterException",
    "QueueAlreadyExists": "QueueNameExists",
}


def refused(client, operation, arguments):
    """The error that a call gets. Checks that it has the shape of the service's errors."""
    faults = []

    def check(operation_model, response_dict, **_):
        faults.extend(error_faults(operation_model, response_dict))

    client.meta.events.register("before-parse", check)
    try:
        with pytest.raises(ClientError) as caught:
            getattr(client, xform_name(operation))(**arguments)
    finally:
        client.meta.events.unregister("before-parse", check)
    assert faults == []
    answer = caught.value.response
    assert answer["ResponseMetadata"]["RequestId"]
    return answer


def status_and_retries(answer):
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["ResponseMetadata"]["RetryAttempts"]


@pytest.fixture(scope="module")
def simulator():
    """A simulator in real time, so that the minute in which a queue cannot be purged again lasts as long as in AWS."""
    simulator = start_simulator()
    yield simulator
    simulator.process.stop()


@pytest.fixture(scope="module")
def clients(simulator):
    return {service: simulator.client(service, **CONFIG) for service in ("autoscaling", "sqs")}


@pytest.fixture(scope="module")
def ground(clients):
    """Shared by all tests. Refused calls do not change it."""
    return Ground(clients["autoscaling"], clients["sqs"], f"refusals-{uuid4().hex[:8]}")


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_refusal(clients, ground, refusal):
    answer = refused(clients[refusal.service], refusal.operation, ground.fill(refusal.arguments))
    error = answer["Error"]
    assert (error["Code"], error["Message"]) == (refusal.code, ground.fill(refusal.message))
    assert error["Type"] == "Sender"
    assert status_and_retries(answer) == (refusal.status, 0)
    errors = clients[refusal.service].meta.service_model.error_shapes
    if refusal.service == "autoscaling":
        statuses = {shape.metadata["error"]["code"]: shape.metadata["error"]["httpStatusCode"] for shape in errors}
        assert statuses.get(refusal.code, 400) == refusal.status
    else:
        assert error["QueryErrorCode"] == KINDS.get(refusal.code, refusal.code.rpartition(".")[2])


def test_cli(simulator, ground):
    refusal = AUTOSCALING[0]
    with Cli(simulator.environment) as cli:
        code, out, errors = cli.run(refusal.service, refusal.operation, ground.fill(refusal.arguments))
    assert (code, out) == (255, "")
    assert f"({refusal.code}) when calling the {refusal.operation} operation: {ground.fill(refusal.message)}" in errors


def test_deleting_twice_succeeds(clients, ground):
    queue, receipt = ground.names["queue"], ground.names["deleted"]
    answer = clients["sqs"].delete_message(QueueUrl=queue, ReceiptHandle=receipt)
    assert status_and_retries(answer) == (200, 0)


def test_boto3_exceptions(clients, ground):
    sqs, autoscaling = clients["sqs"].exceptions, clients["autoscaling"].exceptions
    with pytest.raises(sqs.QueueDoesNotExist):
        clients["sqs"].get_queue_url(QueueName="unknown")
    with pytest.raises(sqs.ReceiptHandleIsInvalid):
        clients["sqs"].delete_message(QueueUrl=ground.names["queue"], ReceiptHandle="x")
    with pytest.raises(sqs.QueueNameExists):
        clients["sqs"].create_queue(QueueName=ground.names["group"], Attributes={"VisibilityTimeout": "31"})
    with pytest.raises(autoscaling.AlreadyExistsFault):
        autoscaling_group = {"AutoScalingGroupName": ground.names["group"], "MinSize": 0, "MaxSize": 0}
        clients["autoscaling"].create_auto_scaling_group(**autoscaling_group)


@pytest.fixture
def strict_simulator():
    """A simulator that throttles every call to Auto Scaling and denies the calls in DENIED."""
    denied = [word for action in DENIED for word in ("--deny", action)]
    simulator = start_simulator("--throttle", "0", *denied)
    yield simulator
    simulator.process.stop()


def test_throttled_and_denied(strict_simulator):
    autoscaling = strict_simulator.client("autoscaling", **CONFIG)
    answer = refused(autoscaling, "DescribeAutoScalingGroups", {})
    assert answer["Error"] == {"Type": "Sender", "Code": "Throttling", "Message": "Rate exceeded"}
    assert status_and_retries(answer) == (400, ATTEMPTS - 1)

    user = "User: arn:aws:iam::123456789012:user/simulated is not authorized to perform: "
    action = {"AutoScalingGroupName": "workers", "LifecycleHookName": "drain", "LifecycleActionResult": "CONTINUE"}
    group = "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:*:autoScalingGroupName/workers"
    for operation, arguments, resource in (
        ("CompleteLifecycleAction", action | {"InstanceId": "i-0000000000000bad0"}, f" on resource: {group}"),
        ("DescribeAutoScalingInstances", {}, ""),
    ):
        answer = refused(autoscaling, operation, arguments)
        assert answer["Error"]["Code"] == "AccessDenied"
        assert answer["Error"]["Message"].startswith(f"{user}autoscaling:{operation}{resource} because")
        assert status_and_retries(answer) == (403, 0)

    sqs = strict_simulator.client("sqs", **CONFIG)
    queue = {"QueueUrl": strict_simulator.queue_url}
    for operation, more in {
        "DeleteMessage": {"ReceiptHandle": "x"},
        "DeleteMessageBatch": {"Entries": [{"Id": "a", "ReceiptHandle": "x"}]},
    }.items():
        answer = refused(sqs, operation, queue | more)
        assert (answer["Error"]["Code"], answer["Error"]["QueryErrorCode"]) == ("AccessDenied", "AccessDeniedException")
        arn = "arn:aws:sqs:eu-west-1:123456789012:workers-termination"
        assert answer["Error"]["Message"].startswith(f"{user}sqs:deletemessage on resource: {arn} because")
        assert status_and_retries(answer) == (403, 0)
    assert "Messages" not in sqs.receive_message(**queue)


def test_deny_refuses_an_unknown_action():
    process = Process("simulate", "--serve", "--deny", "sqs:SendMesage", environment={})
    assert process.process.wait(READY_SECONDS_MAX) == 2
    process.stop()
    assert "there are autoscaling:CompleteLifecycleAction, " in "".join(process.stderr)


def test_sqs_query_protocol(simulator, tmp_path):
    """Older clients use the Query protocol for SQS. This model makes botocore use it."""
    model = Loader().load_service_model("sqs", "service-2")
    namespace = "http://queue.amazonaws.com/doc/2012-11-05/"
    model["metadata"] |= {"protocol": "query", "protocols": ["query"], "xmlNamespace": namespace}
    del model["metadata"]["awsQueryCompatible"]
    folder = tmp_path / "sqs/2012-11-05"
    folder.mkdir(parents=True)
    (folder / "service-2.json").write_text(json.dumps(model))
    environment = bare_environment() | simulator.environment | {"AWS_DATA_PATH": str(tmp_path)}
    with mock.patch.dict(os.environ, environment, clear=True):
        old = boto3.Session().client("sqs", config=Config(**CONFIG))
    answer = refused(old, "GetQueueUrl", {"QueueName": "workers-termination"})
    assert answer["Error"]["Code"] == "InvalidAction"
    assert "speaks SQS only in JSON" in answer["Error"]["Message"]
    assert status_and_retries(answer) == (400, 0)
