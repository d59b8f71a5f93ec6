"""Every call that the simulator serves, in an order in which each has something to return. Also the clients that make
the calls: boto3 and the AWS CLI."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from botocore import xform_name
from conftest import Process, wait_for
from model import faults

CLI_SECONDS_MAX = 30
CLI_EXAMPLES = Path(*find_spec("awscli").submodule_search_locations, "examples")
LAUNCH_CONFIGURATION = "workers"


def shape(answer, path=""):
    """The paths of the values in an answer, with their types."""
    found = {(path, type(answer).__name__)}
    if isinstance(answer, dict):
        for name, value in answer.items():
            found |= shape(value, f"{path}.{name}".lstrip("."))
    elif isinstance(answer, list):
        for value in answer:
            found |= shape(value, f"{path}[]")
    return found


def walk(client):
    """Makes all of the calls through a client such as `Boto`."""
    client.call("sts", "GetCallerIdentity")
    walk_autoscaling(client)
    walk_target_groups(client)
    walk_sqs(client)


def walk_autoscaling(client):
    name = f"walk-{uuid4().hex[:8]}"
    group = {"AutoScalingGroupName": name}

    def call(operation, **arguments):
        return client.call("autoscaling", operation, **arguments)

    call(
        "CreateAutoScalingGroup",
        **group,
        MinSize=0,
        MaxSize=2,
        DesiredCapacity=2,
        AvailabilityZones=["eu-west-1a"],
        LaunchConfigurationName=LAUNCH_CONFIGURATION,
    )
    hook = {"LifecycleHookName": "drain"} | group
    call(
        "PutLifecycleHook",
        **hook,
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout=3600,
        DefaultResult="CONTINUE",
        NotificationMetadata="<&> ä",
    )
    call("DescribeLifecycleHooks", **group, LifecycleHookNames=["drain"])
    (described,) = call("DescribeAutoScalingGroups", AutoScalingGroupNames=[name])["AutoScalingGroups"]
    instance, other = (one["InstanceId"] for one in described["Instances"])
    client.wait_for(instance, "InService")
    call("SetInstanceProtection", **group, InstanceIds=[other], ProtectedFromScaleIn=True)
    described = call("DescribeAutoScalingInstances", InstanceIds=[instance, other])["AutoScalingInstances"]
    protected = {one["InstanceId"]: one["ProtectedFromScaleIn"] for one in described}
    assert protected == {instance: False, other: True}
    call("SetInstanceProtection", **group, InstanceIds=[other], ProtectedFromScaleIn=False)
    call("TerminateInstanceInAutoScalingGroup", InstanceId=instance, ShouldDecrementDesiredCapacity=True)
    client.wait_for(instance, "Terminating:Wait")
    call("DescribeScalingActivities", **group)
    call("RecordLifecycleActionHeartbeat", **hook, InstanceId=instance)
    call("CompleteLifecycleAction", **hook, InstanceId=instance, LifecycleActionResult="CONTINUE")
    call("DeleteLifecycleHook", **hook)
    call("SetDesiredCapacity", **group, DesiredCapacity=0)


def walk_target_groups(client):
    name = f"walk-{uuid4().hex[:8]}"

    def call(operation, **arguments):
        return client.call("elbv2", operation, **arguments)

    settings = {"Protocol": "HTTP", "Port": 80, "TargetType": "ip", "VpcId": client.vpc}
    (created,) = call("CreateTargetGroup", Name=name, **settings)["TargetGroups"]
    group = {"TargetGroupArn": created["TargetGroupArn"]}
    assert call("DescribeTargetGroups", Names=[name])["TargetGroups"][0]["TargetGroupArn"] == created["TargetGroupArn"]
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "60"}
    call("ModifyTargetGroupAttributes", **group, Attributes=[delay])
    assert delay in call("DescribeTargetGroupAttributes", **group)["Attributes"]
    target = {"Id": "10.0.0.1", "Port": 8080}
    call("RegisterTargets", **group, Targets=[target])
    call("DeregisterTargets", **group, Targets=[target])
    (described,) = call("DescribeTargetHealth", **group, Targets=[target])["TargetHealthDescriptions"]
    assert described["Target"] == target


def walk_sqs(client):
    name = f"walk-{uuid4().hex[:8]}"

    def call(operation, **arguments):
        return client.call("sqs", operation, **arguments)

    queue = {"QueueUrl": call("CreateQueue", QueueName=name, Attributes={"VisibilityTimeout": "60"})["QueueUrl"]}
    assert call("GetQueueUrl", QueueName=name)["QueueUrl"] == queue["QueueUrl"]
    assert call("ListQueues", QueueNamePrefix=name)["QueueUrls"] == [queue["QueueUrl"]]
    call("SetQueueAttributes", **queue, Attributes={"ReceiveMessageWaitTimeSeconds": "1"})
    for body in ("one", '{"two": "<&> ä"}', "three"):
        call("SendMessage", **queue, MessageBody=body)
    call("GetQueueAttributes", **queue, AttributeNames=["All"])
    received = call("ReceiveMessage", **queue, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"])["Messages"]
    receipts = [message["ReceiptHandle"] for message in received]
    assert len(receipts) == 3
    call("ChangeMessageVisibility", **queue, ReceiptHandle=receipts[0], VisibilityTimeout=90)
    # One entry of each batch fails.
    entries = [{"Id": f"id-{place}", "ReceiptHandle": receipt} for place, receipt in enumerate([*receipts[1:], "none"])]
    longer = [entry | {"VisibilityTimeout": 90} for entry in entries]
    answers = [
        call("ChangeMessageVisibilityBatch", **queue, Entries=longer),
        call("DeleteMessageBatch", **queue, Entries=entries),
    ]
    for answer in answers:
        assert (len(answer["Successful"]), len(answer["Failed"])) == (2, 1)
    call("DeleteMessage", **queue, ReceiptHandle=receipts[0])
    call("PurgeQueue", **queue)
    call("DeleteQueue", **queue)


class Boto:
    """boto3. Checks every answer against the service model, and records it."""

    vpc = "vpc-0123456789abcdef0"

    def __init__(self, client):
        """`client` is a function that returns a service's client."""
        self.client = client
        self.clients, self.answers, self.raw, self.faults = {}, {}, {}, []

    def call(self, service, operation, **arguments):
        if service not in self.clients:
            self.clients[service] = self.client(service)
            self.clients[service].meta.events.register(f"before-parse.{service}", self._check)
        answer = getattr(self.clients[service], xform_name(operation))(**arguments)
        assert answer.pop("ResponseMetadata")["RetryAttempts"] == 0
        self.answers[service, operation] = answer
        return answer

    def _check(self, operation_model, response_dict, **_):
        self.raw[operation_model.name] = operation_model, response_dict
        self.faults += [f"{operation_model.name}: {fault}" for fault in faults(operation_model, response_dict)]

    def wait_for(self, instance, state):
        def reached():
            described = self.call("autoscaling", "DescribeAutoScalingInstances", InstanceIds=[instance])
            return described["AutoScalingInstances"][0]["LifecycleState"] == state

        wait_for(reached, f"{instance} is {state}")


class Cli(Boto):
    """The AWS CLI. Use it in a `with` statement, which stops its process."""

    def __init__(self, environment):
        super().__init__(None)
        nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        self.environment = nowhere | {"AWS_MAX_ATTEMPTS": "1"} | environment
        program = (sys.executable, str(Path(__file__).with_name("cli.py")))
        self.process = Process(program=program, environment=self.environment)

    def call(self, service, operation, **arguments):
        code, out, errors = self.run(service, operation, arguments)
        assert code == 0, errors
        # The CLI prints nothing for an empty answer.
        self.answers[service, operation] = json.loads(out or "{}")
        return self.answers[service, operation]

    def run(self, service, operation, arguments):
        """Runs a command. Returns the exit code, standard output and standard error."""
        words = [service, xform_name(operation, "-"), "--output", "json"]
        if service == "sqs":
            # Version 1 of the CLI prefers its own endpoint for SQS to AWS_ENDPOINT_URL.
            words += ["--endpoint-url", self.environment["AWS_ENDPOINT_URL"]]
        words += ["--cli-input-json", json.dumps(arguments)] if arguments else []
        self.process.write(json.dumps(words) + "\n")
        return json.loads(self.process.line(CLI_SECONDS_MAX))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()
        self.process.show()
