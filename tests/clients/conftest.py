"""Starts the simulator and daemons for the tests, and stops each by its own process id."""

import json
import os
import queue
import re
import signal
import subprocess
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from unittest import mock
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

BIN = os.environ["DRAINHOOK_BIN"]
HELPERS = Path(__file__).parents[2] / "presets" / "helpers"
READY_SECONDS_MAX = 30
STOP_SECONDS_MAX = 10
HELPER_SECONDS_MAX = 60
INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,17}")


def wait_for(condition, what, seconds=60):
    """Polls until the condition returns a true value, and returns it. Fails after the given time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"timed out after {seconds} s waiting until {what}"
        time.sleep(0.05)


def bare_environment():
    """This process's environment without anything that would configure AWS or drainhook."""
    foreign = ("AWS_", "DRAINHOOK_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


class Process:
    """A process, drainhook by default, with its output so far."""

    def __init__(self, *arguments, environment, program=(BIN,)):
        self.arguments = (*program, *arguments)
        self.process = subprocess.Popen(
            self.arguments,
            env=bare_environment() | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.stdout, self.stderr = [], []
        self.lines = queue.Queue()
        self.readers = [
            threading.Thread(target=self._read_stdout, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for reader in self.readers:
            reader.start()

    def _read_stdout(self):
        for line in self.process.stdout:
            self.stdout.append(line)
            self.lines.put(line)
        self.lines.put(None)

    def _read_stderr(self):
        for line in self.process.stderr:
            self.stderr.append(line)

    def write(self, text):
        """Writes to the process's standard input."""
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def line(self, seconds):
        """The next line of standard output. Fails if none comes in time."""
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            pytest.fail(f"{self}: no line within {seconds} s")
        if line is None:
            pytest.fail(f"{self}: the process ended with exit code {self.process.wait()}")
        return line.rstrip("\n")

    def stop(self):
        """Stops the process as systemd would. Returns its exit code, or None if it had to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None
        finally:
            for reader in self.readers:
                reader.join(STOP_SECONDS_MAX)

    def show(self):
        """Prints the output. pytest shows it if the test fails."""
        print(f"--- {self}, standard output")
        print("".join(self.stdout), end="")
        print(f"--- {self}, standard error")
        print("".join(self.stderr), end="")

    def __str__(self):
        return " ".join(self.arguments)


@dataclass
class Simulator:
    """What `drainhook simulate --serve --json` prints when it is ready."""

    process: Process
    environment: dict
    instances: list
    group: str
    hook: str
    queue_url: str

    def client(self, service, **config):
        """A client that is configured by the printed environment alone. It makes one attempt unless `config` says
        otherwise."""
        config = {"retries": {"total_max_attempts": 1}} | config
        with mock.patch.dict(os.environ, bare_environment() | self.environment, clear=True):
            return boto3.client(service, config=Config(**config))


def start_simulator(*arguments):
    """Starts the simulator and reads until it is ready. The caller stops it."""
    process = Process("simulate", "--serve", "--json", *arguments, environment={})
    try:
        while True:
            event = json.loads(process.line(READY_SECONDS_MAX))
            if event.pop("event") == "ready":
                known = {name: event[name] for name in ("environment", "instances", "group", "hook", "queue_url")}
                return Simulator(process=process, **known)
    except BaseException:
        process.stop()
        process.show()
        raise


def instance_in_service(autoscaling, group):
    """The group's instance, once it is in service."""

    def found():
        groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
        return [
            instance["InstanceId"] for instance in groups[0]["Instances"] if instance["LifecycleState"] == "InService"
        ]

    (instance,) = wait_for(found, f"{group} has an instance in service")
    assert INSTANCE_ID.fullmatch(instance)
    return instance


def lifecycle_state(autoscaling, instance):
    """The instance's lifecycle state, or None if the instance is gone."""
    described = autoscaling.describe_auto_scaling_instances(InstanceIds=[instance])["AutoScalingInstances"]
    return described[0]["LifecycleState"] if described else None


def scale_in(autoscaling, instance):
    answer = autoscaling.terminate_instance_in_auto_scaling_group(
        InstanceId=instance, ShouldDecrementDesiredCapacity=True
    )
    return answer["Activity"]


def simulated_instance(simulator, instance):
    """The simulator's details of an instance, also of groups that a test created."""
    with urllib.request.urlopen(simulator.environment["AWS_ENDPOINT_URL"] + "/_sim/instances", timeout=10) as answer:
        (known,) = [known for known in json.load(answer) if known["id"] == instance]
    return known


def daemon_environment(simulator, instance, folder):
    """The environment of `drainhook run` on an instance, with the daemon's files in the test's folder."""
    known = simulated_instance(simulator, instance)
    return simulator.environment | {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": known["imds"],
        "DRAINHOOK_AGENT__URL": known["agent"],
        "DRAINHOOK_CONTROL__SOCKET": str(folder / "drainhook.sock"),
        "DRAINHOOK_JOURNAL__DIR": str(folder),
    }


@pytest.fixture(scope="session")
def simulator():
    """One simulator for all tests. Each test creates the groups and queues that it changes."""
    simulator = start_simulator("--instances", "2", "--speed", "5")
    yield simulator
    code = simulator.process.stop()
    simulator.process.show()
    assert code is not None, "the simulator did not end on SIGTERM"


@pytest.fixture
def daemons():
    """Starts `drainhook run` with an environment, without flags or files. A test may start several."""
    started = []

    def start(environment):
        started.append(Process("run", environment=environment))
        return started[-1]

    yield start
    codes = [daemon.stop() for daemon in started]
    for daemon in started:
        daemon.show()
    assert None not in codes, "a daemon did not end on SIGTERM"


@pytest.fixture
def autoscaling(simulator):
    return simulator.client("autoscaling")


@pytest.fixture
def sqs(simulator):
    return simulator.client("sqs")


@pytest.fixture
def group(simulator, autoscaling):
    """A group with one instance and a termination hook, for this test alone."""
    name = f"group-{uuid4().hex[:8]}"
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        MinSize=0,
        MaxSize=2,
        DesiredCapacity=1,
        AvailabilityZones=[simulator.environment["AWS_REGION"] + "a"],
    )
    autoscaling.put_lifecycle_hook(
        LifecycleHookName="drain",
        AutoScalingGroupName=name,
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout=3600,
        DefaultResult="CONTINUE",
    )
    return name


@pytest.fixture
def run(tmp_path):
    """Runs a helper program of a preset with the environment that the daemon gives it. Returns its exit status and its output."""
    programs = tmp_path / "programs"
    programs.mkdir()
    # Pauses take no time.
    (programs / "sleep").symlink_to("/bin/true")

    def run(name, *arguments, **variables):
        environment = {"PATH": f"{programs}:{os.environ['PATH']}", "DRAINHOOK_INSTANCE_ID": "i-0123456789abcdef0"}
        ran = subprocess.run(
            ["sh", HELPERS / name, *arguments],
            env=environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HELPER_SECONDS_MAX,
        )
        return ran.returncode, ran.stdout + ran.stderr

    return run
