"""The calls that the simulator refuses, with the code, message and HTTP status that boto3 shows."""

from dataclasses import dataclass

INSTANCE = "i-0000000000000bad0"
TOKEN = "00000000-0000-4000-8000-000000000bad"
NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"
BATCH = "AWS.SimpleQueueService."


@dataclass
class Refusal:
    """A call and the error that AWS returns. Arguments may contain {names} of resources in `Ground`."""

    name: str
    service: str
    operation: str
    arguments: dict
    code: str
    message: str
    status: int = 400

    def __str__(self):
        return f"{self.operation}-{self.name}".replace(" ", "-")


class Ground:
    """The resources of the refused calls: a group with an instance and a hook, a queue with a message in flight."""

    def __init__(self, autoscaling, sqs, name):
        self.names = {"group": name}
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=1,
            MaxSize=1,
            AvailabilityZones=["eu-west-1a"],
            LaunchConfigurationName="workers",
        )
        autoscaling.put_lifecycle_hook(
            AutoScalingGroupName=name,
            LifecycleHookName="drain",
            LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        )
        (group,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        self.names["instance"] = group["Instances"][0]["InstanceId"]
        queue = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "43200"})["QueueUrl"]
        purged = sqs.create_queue(QueueName=f"{name}-purged")["QueueUrl"]
        sqs.purge_queue(QueueUrl=purged)
        self.names |= {"queue": queue, "purged": purged, "unknown": f"{queue}-unknown"}
        for receipt in ("deleted", "receipt"):
            sqs.send_message(QueueUrl=queue, MessageBody=receipt)
            (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
            self.names[receipt] = message["ReceiptHandle"]
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=self.names["deleted"])

    def fill(self, value):
        """Replaces the {names} in a value."""
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return value.format(**self.names) if isinstance(value, str) else value


def _autoscaling(name, operation, arguments, message, code="ValidationError"):
    return Refusal(name, "autoscaling", operation, arguments, code, message)


def _sqs(name, operation, arguments, code, message, status=400):
    return Refusal(name, "sqs", operation, arguments, code, message, status)


def _null(member):
    return (
        f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
    )


def _unknown_group(operation, **arguments):
    message = "AutoScalingGroup name not found - AutoScalingGroup 'unknown' not found"
    return _autoscaling("unknown group", operation, {"AutoScalingGroupName": "unknown"} | arguments, message)


def _invalid(value, parameter, reason):
    return "InvalidParameterValue", f"Value {value} for parameter {parameter} is invalid. Reason: {reason}"


def _batch(name, operation, entries, code, message):
    if operation == "ChangeMessageVisibilityBatch":
        entries = [entry | {"VisibilityTimeout": 0} for entry in entries]
    return _sqs(name, operation, {"QueueUrl": "{queue}", "Entries": entries}, BATCH + code, message)


def _entries(*ids):
    return [{"Id": one, "ReceiptHandle": "{receipt}"} for one in ids]


def _batches(operation):
    ids = (
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters "
        "long."
    )
    count = "Maximum number of entries per request are 10. You have sent 11."
    none = f"There should be at least one {operation}RequestEntry in the request."
    eleven = _entries(*map(str, range(11)))
    return [
        _batch("no entry", operation, [], "EmptyBatchRequest", none),
        _batch("eleven entries", operation, eleven, "TooManyEntriesInBatchRequest", count),
        _batch("two entries with one id", operation, _entries("a", "a"), "BatchEntryIdsNotDistinct", "Id a repeated."),
        _batch("a colon in an id", operation, _entries("a:b"), "InvalidBatchEntryId", ids),
        _batch("an id of 81 letters", operation, _entries("a" * 81), "InvalidBatchEntryId", ids),
    ]


ACTION = {"AutoScalingGroupName": "{group}", "LifecycleHookName": "drain"}
COMPLETION = ACTION | {"LifecycleActionResult": "CONTINUE"}
NOT_OF_INSTANCE = "No active Lifecycle Action found with instance ID "
NOT_OF_TOKEN = f"No active Lifecycle Action found with token {TOKEN}"
TOO_LONG = f"1 validation error detected: Value '{TOKEN}0' at 'lifecycleActionToken' failed to satisfy constraint: "
TERMINATING = {"LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
AT_MIN = (
    "Currently, desiredSize equals minSize (1). Terminating instance without replacement will violate group's min size "
    "constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size."
)
EXISTS = "AutoScalingGroup by this name already exists - A group with the name {group} already exists"
TWELVE_HOURS = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
GONE = "Message does not exist or is not available for visibility timeout change."

AUTOSCALING = [
    _autoscaling(
        "no action",
        "RecordLifecycleActionHeartbeat",
        ACTION | {"InstanceId": "{instance}"},
        NOT_OF_INSTANCE + "{instance}",
    ),
    _autoscaling(
        "no action",
        "CompleteLifecycleAction",
        COMPLETION | {"InstanceId": "{instance}"},
        NOT_OF_INSTANCE + "{instance}",
    ),
    _autoscaling(
        "unknown instance", "CompleteLifecycleAction", COMPLETION | {"InstanceId": INSTANCE}, NOT_OF_INSTANCE + INSTANCE
    ),
    _autoscaling(
        "unknown hook",
        "CompleteLifecycleAction",
        COMPLETION | {"InstanceId": "{instance}", "LifecycleHookName": "unknown"},
        NOT_OF_INSTANCE + "{instance}",
    ),
    _autoscaling(
        "unknown token", "RecordLifecycleActionHeartbeat", ACTION | {"LifecycleActionToken": TOKEN}, NOT_OF_TOKEN
    ),
    _autoscaling(
        "unknown token", "CompleteLifecycleAction", COMPLETION | {"LifecycleActionToken": TOKEN}, NOT_OF_TOKEN
    ),
    _autoscaling(
        "a token of 37 characters",
        "CompleteLifecycleAction",
        COMPLETION | {"LifecycleActionToken": TOKEN + "0"},
        TOO_LONG + "Member must have length less than or equal to 36",
    ),
    _autoscaling(
        "neither", "CompleteLifecycleAction", COMPLETION, "Either InstanceId or LifecycleActionToken must be specified"
    ),
    _autoscaling(
        "no hook",
        "CompleteLifecycleAction",
        {"AutoScalingGroupName": "{group}", "LifecycleActionResult": "CONTINUE"},
        _null("lifecycleHookName"),
    ),
    _unknown_group(
        "CompleteLifecycleAction", LifecycleHookName="drain", LifecycleActionResult="CONTINUE", InstanceId=INSTANCE
    ),
    _unknown_group("RecordLifecycleActionHeartbeat", LifecycleHookName="drain", InstanceId=INSTANCE),
    _unknown_group("DescribeLifecycleHooks"),
    _unknown_group("PutLifecycleHook", LifecycleHookName="drain", **TERMINATING),
    _unknown_group("DeleteLifecycleHook", LifecycleHookName="drain"),
    _unknown_group("SetDesiredCapacity", DesiredCapacity=1),
    _unknown_group("SetInstanceProtection", InstanceIds=[INSTANCE], ProtectedFromScaleIn=True),
    _autoscaling(
        "unknown instance",
        "SetInstanceProtection",
        {"AutoScalingGroupName": "{group}", "InstanceIds": [INSTANCE], "ProtectedFromScaleIn": True},
        f"The instance {INSTANCE} is not part of Auto Scaling group {{group}}.",
    ),
    _autoscaling(
        "unknown hook",
        "DeleteLifecycleHook",
        ACTION | {"LifecycleHookName": "unknown"},
        "No Lifecycle Hook found with hook name unknown in Auto Scaling group {group}",
    ),
    _autoscaling(
        "10 seconds",
        "PutLifecycleHook",
        ACTION | TERMINATING | {"HeartbeatTimeout": 10},
        "Heartbeat timeout must be between 30 and 7200 seconds",
    ),
    _autoscaling(
        "unknown instance",
        "TerminateInstanceInAutoScalingGroup",
        {"InstanceId": INSTANCE, "ShouldDecrementDesiredCapacity": False},
        f"Instance Id not found - No managed instance found for instance ID {INSTANCE}",
    ),
    _autoscaling(
        "below the minimum",
        "TerminateInstanceInAutoScalingGroup",
        {"InstanceId": "{instance}", "ShouldDecrementDesiredCapacity": True},
        AT_MIN,
    ),
    _autoscaling(
        "above the maximum",
        "SetDesiredCapacity",
        {"AutoScalingGroupName": "{group}", "DesiredCapacity": 2},
        "New SetDesiredCapacity value 2 is above max value 1 for the AutoScalingGroup.",
    ),
    _autoscaling(
        "exists",
        "CreateAutoScalingGroup",
        {
            "AutoScalingGroupName": "{group}",
            "MinSize": 0,
            "MaxSize": 1,
            "AvailabilityZones": ["eu-west-1a"],
            "LaunchConfigurationName": "workers",
        },
        EXISTS,
        "AlreadyExists",
    ),
    _autoscaling(
        "invalid token",
        "DescribeAutoScalingInstances",
        {"NextToken": "x"},
        "The token 'x' is invalid.",
        "InvalidNextToken",
    ),
]

SQS = [
    *(
        _sqs(
            "unknown queue",
            operation,
            {"QueueUrl": "{unknown}"} | more,
            NO_QUEUE,
            "The specified queue does not exist.",
        )
        for operation, more in {
            "ReceiveMessage": {},
            "SendMessage": {"MessageBody": "x"},
            "DeleteMessage": {"ReceiptHandle": "x"},
            "DeleteMessageBatch": {"Entries": [{"Id": "a", "ReceiptHandle": "x"}]},
            "ChangeMessageVisibility": {"ReceiptHandle": "x", "VisibilityTimeout": 0},
            "GetQueueAttributes": {"AttributeNames": ["All"]},
            "PurgeQueue": {},
            "DeleteQueue": {},
        }.items()
    ),
    _sqs("unknown queue", "GetQueueUrl", {"QueueName": "unknown"}, NO_QUEUE, "The specified queue does not exist."),
    *_batches("DeleteMessageBatch"),
    *_batches("ChangeMessageVisibilityBatch"),
    *(
        _sqs(
            "no receipt handle",
            operation,
            {"QueueUrl": "{queue}", "ReceiptHandle": "x"} | more,
            "ReceiptHandleIsInvalid",
            'The input receipt handle "x" is not a valid receipt handle.',
        )
        for operation, more in {"DeleteMessage": {}, "ChangeMessageVisibility": {"VisibilityTimeout": 0}}.items()
    ),
    *(
        _sqs(
            name,
            "ChangeMessageVisibility",
            {"QueueUrl": "{queue}", "ReceiptHandle": receipt, "VisibilityTimeout": seconds},
            *error,
        )
        for name, receipt, seconds, error in [
            ("deleted", "{deleted}", 0, _invalid("{deleted}", "ReceiptHandle", GONE)),
            (
                "43201 seconds",
                "{receipt}",
                43201,
                _invalid(43201, "VisibilityTimeout", "Must be >= 0 and <= 43200, if provided."),
            ),
            (
                "below 0 seconds",
                "{receipt}",
                -1,
                _invalid(-1, "VisibilityTimeout", "Must be >= 0 and <= 43200, if provided."),
            ),
            ("12 hours in all", "{receipt}", 43200, _invalid(43200, "VisibilityTimeout", TWELVE_HOURS)),
        ]
    ),
    _sqs(
        "eleven messages",
        "ReceiveMessage",
        {"QueueUrl": "{queue}", "MaxNumberOfMessages": 11},
        *_invalid(11, "MaxNumberOfMessages", "Must be between 1 and 10, if provided."),
    ),
    _sqs(
        "a wait of 21 seconds",
        "ReceiveMessage",
        {"QueueUrl": "{queue}", "WaitTimeSeconds": 21},
        *_invalid(21, "WaitTimeSeconds", "Must be >= 0 and <= 20, if provided."),
    ),
    _sqs(
        "no body",
        "SendMessage",
        {"QueueUrl": "{queue}", "MessageBody": ""},
        "MissingParameter",
        "The request must contain the parameter MessageBody.",
    ),
    _sqs(
        "1 MiB and a byte",
        "SendMessage",
        {"QueueUrl": "{queue}", "MessageBody": "x" * 1048577},
        "InvalidParameterValue",
        "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
    ),
    _sqs(
        "another timeout",
        "CreateQueue",
        {"QueueName": "{group}", "Attributes": {"VisibilityTimeout": "31"}},
        "QueueAlreadyExists",
        "A queue already exists with the same name and a different value for attribute VisibilityTimeout",
    ),
    _sqs(
        "a dot in the name",
        "CreateQueue",
        {"QueueName": "a.b"},
        "InvalidParameterValue",
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
    ),
    _sqs(
        "43201 seconds",
        "SetQueueAttributes",
        {"QueueUrl": "{queue}", "Attributes": {"VisibilityTimeout": "43201"}},
        "InvalidAttributeValue",
        "Invalid value for the parameter VisibilityTimeout.",
    ),
    _sqs(
        "twice in a minute",
        "PurgeQueue",
        {"QueueUrl": "{purged}"},
        "AWS.SimpleQueueService.PurgeQueueInProgress",
        "Only one PurgeQueue operation on {group}-purged is allowed every 60 seconds.",
        status=403,
    ),
]

REFUSALS = AUTOSCALING + SQS
