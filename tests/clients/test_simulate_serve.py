"""boto3 and the real daemon against `drainhook simulate --serve`. boto3 must see what it would see in AWS."""

import signal

import pytest
from botocore.exceptions import ClientError
from conftest import (
    INSTANCE_ID,
    Process,
    daemon_environment,
    instance_in_service,
    lifecycle_state,
    scale_in,
    wait_for,
)
from network import CountingListener, RecordingProxy

POLLS = 5


def error_of(call, **arguments):
    """The code, message and HTTP status of a call's error."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_shell_output():
    process = Process("simulate", "--serve", "--instances", "2", environment={})
    try:
        lines = []
        while not lines or lines[-1] != "ready":
            lines.append(process.line(30))
    finally:
        code = process.stop()
        process.show()
    assert code is not None, "the simulator did not end on SIGTERM"
    exported = {line.split()[1].split("=", 1)[0] for line in lines if line.startswith("export ")}
    assert exported >= {"AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    instances = [line.split() for line in lines if INSTANCE_ID.match(line)]
    assert len(instances) == 2
    for _, *assignments in instances:
        assert {assignment.split("=", 1)[0] for assignment in assignments} >= {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "DRAINHOOK_AGENT__URL",
            "DRAINHOOK_CONTROL__SOCKET",
            "DRAINHOOK_JOURNAL__DIR",
        }


def test_start_up_group(simulator, autoscaling, sqs):
    assert (simulator.group, simulator.hook) == ("workers", "drain")
    assert simulator.queue_url == sqs.get_queue_url(QueueName="workers-termination")["QueueUrl"]
    (hook,) = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName="workers")["LifecycleHooks"]
    assert hook["LifecycleHookName"] == "drain"
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    (group,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["workers"])["AutoScalingGroups"]
    listed = {instance["InstanceId"] for instance in group["Instances"]}
    assert listed == {instance["id"] for instance in simulator.instances}
    assert len(listed) == 2


@pytest.mark.parametrize("held", [False, True], ids=["running", "held until the hook waits"])
def test_scale_in_with_daemon(simulator, autoscaling, daemons, group, tmp_path, held):
    instance = instance_in_service(autoscaling, group)
    daemon = daemons(daemon_environment(simulator, instance, tmp_path))
    if held:
        # A running daemon may complete the action between two polls. A stopped one cannot.
        daemon.process.send_signal(signal.SIGSTOP)
    try:
        activity = scale_in(autoscaling, instance)
        if held:
            wait_for(lambda: lifecycle_state(autoscaling, instance) == "Terminating:Wait", "the hook waits")
    finally:
        daemon.process.send_signal(signal.SIGCONT)

    # This is long before the hook times out, so the daemon has completed the action.
    wait_for(lambda: lifecycle_state(autoscaling, instance) is None, "the instance is gone", seconds=120)

    def successful():
        described = autoscaling.describe_scaling_activities(
            AutoScalingGroupName=group, ActivityIds=[activity["ActivityId"]]
        )
        return described["Activities"][0]["StatusCode"] == "Successful"

    wait_for(successful, "the activity is successful")
    code, message, http = error_of(
        autoscaling.record_lifecycle_action_heartbeat,
        LifecycleHookName="drain",
        AutoScalingGroupName=group,
        InstanceId=instance,
    )
    assert (code, http) == ("ValidationError", 400)
    assert message == f"No active Lifecycle Action found with instance ID {instance}"


def test_second_completion(autoscaling, group):
    instance = instance_in_service(autoscaling, group)
    none_active = ("ValidationError", f"No active Lifecycle Action found with instance ID {instance}", 400)
    action = {"LifecycleHookName": "drain", "AutoScalingGroupName": group, "InstanceId": instance}
    assert error_of(autoscaling.record_lifecycle_action_heartbeat, **action) == none_active

    scale_in(autoscaling, instance)
    wait_for(lambda: lifecycle_state(autoscaling, instance) == "Terminating:Wait", "the hook waits")
    autoscaling.record_lifecycle_action_heartbeat(**action)
    autoscaling.complete_lifecycle_action(LifecycleActionResult="CONTINUE", **action)
    again = error_of(autoscaling.complete_lifecycle_action, LifecycleActionResult="CONTINUE", **action)
    assert again == none_active
    wait_for(lambda: lifecycle_state(autoscaling, instance) is None, "the instance is gone")


def test_describe_ignores_unknown_instances(autoscaling):
    assert lifecycle_state(autoscaling, "i-0000000000000bad0") is None


def test_idle_daemon_calls_only_imds(simulator, daemons, tmp_path):
    instance = simulator.instances[0]["id"]
    environment = daemon_environment(simulator, instance, tmp_path)
    aws = CountingListener()
    imds = RecordingProxy(environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"])
    agent = CountingListener()
    try:
        daemon = daemons(
            environment
            | {
                "AWS_ENDPOINT_URL": aws.url,
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url,
                "DRAINHOOK_AGENT__URL": agent.url,
                "DRAINHOOK_QUEUE__URL": f"{aws.url}/000000000000/workers-termination",
                "DRAINHOOK_IMDS__POLL": "100ms",
            }
        )

        def polls():
            paths = [exchange.path for exchange in list(imds.exchanges)]
            return sum(path.endswith("/autoscaling/target-lifecycle-state") for path in paths)

        wait_for(lambda: polls() >= POLLS, f"the metadata service is polled {POLLS} times")
        assert daemon.process.poll() is None, "the daemon ended"
        assert aws.connections == 0
        # If the daemon had built an AWS client, it would have read the role's credentials.
        assert not [exchange.path for exchange in imds.exchanges if "/iam/" in exchange.path]
        assert agent.connections == 0
    finally:
        for server in (aws, imds, agent):
            server.close()
