"""boto3, the AWS CLI and plain requests against the metadata service of a simulated instance."""

import json
import os
from unittest import mock

import boto3
import pytest
import requests
from botocore.utils import InstanceMetadataFetcher, InstanceMetadataRegionFetcher
from conftest import bare_environment
from walk import Cli

ROLE = "drainhook-simulated"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
TTL_MAX = 21600

# The metadata of every instance. Libraries such as ec2_metadata read them.
CATEGORIES = {
    "ami-id",
    "autoscaling/target-lifecycle-state",
    "events/maintenance/history",
    "events/maintenance/scheduled",
    "iam/info",
    f"iam/security-credentials/{ROLE}",
    "instance-id",
    "instance-life-cycle",
    "instance-type",
    "local-ipv4",
    "placement/availability-zone",
    "placement/region",
    "services/domain",
    "services/partition",
    "tags/instance/aws:autoscaling:groupName",
}


@pytest.fixture
def instance(simulator):
    return simulator.instances[0]


@pytest.fixture
def environment(simulator, instance):
    """The environment of a program on the instance. The role's credentials are its only ones."""
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    common = {name: value for name, value in simulator.environment.items() if name not in keys}
    return common | files | instance["environment"]


@pytest.fixture
def imds(instance):
    return instance["environment"]["AWS_EC2_METADATA_SERVICE_ENDPOINT"]


def token(imds):
    answer = requests.put(f"{imds}/latest/api/token", headers={TTL: str(TTL_MAX)}, timeout=10)
    assert (answer.status_code, answer.headers[TTL]) == (200, str(TTL_MAX))
    return {TOKEN: answer.text}


def test_boto3_gets_the_role(environment, instance):
    with mock.patch.dict(os.environ, bare_environment() | environment, clear=True):
        session = boto3.Session()
        assert session.get_credentials().method == "iam-role"
        identity = session.client("sts").get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::123456789012:assumed-role/{ROLE}/{instance['id']}"


def test_cli_gets_the_role(environment, instance):
    with Cli(environment) as cli:
        identity = cli.call("sts", "GetCallerIdentity")
    assert identity["Arn"] == f"arn:aws:sts::123456789012:assumed-role/{ROLE}/{instance['id']}"


def test_botocore_fetchers(imds):
    fetched = InstanceMetadataFetcher(num_attempts=1, base_url=imds).retrieve_iam_role_credentials()
    assert fetched["role_name"] == ROLE
    assert all(fetched[part] for part in ("access_key", "secret_key", "token", "expiry_time"))
    config = {"ec2_metadata_service_endpoint": imds}
    assert InstanceMetadataRegionFetcher(num_attempts=1, base_url=imds, config=config).retrieve_region() == "eu-west-1"


def test_categories(imds):
    """Every listed category has a value, and the list is exactly CATEGORIES."""
    headers, leaves, folders = token(imds), set(), [""]
    while folders:
        folder = folders.pop()
        listed = requests.get(f"{imds}/latest/meta-data/{folder}", headers=headers, timeout=10)
        assert (listed.status_code, listed.headers["Content-Type"]) == (200, "text/plain")
        for entry in listed.text.split("\n"):
            folders += [folder + entry] if entry.endswith("/") else []
            leaves |= set() if entry.endswith("/") else {folder + entry}
    assert leaves == CATEGORIES
    for leaf in leaves:
        answer = requests.get(f"{imds}/latest/meta-data/{leaf}", headers=headers, timeout=10)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain"), leaf
        assert answer.text and 0 < int(answer.headers[TTL]) <= TTL_MAX


def test_documents(imds, instance):
    headers = token(imds)

    def get(path):
        return requests.get(f"{imds}/latest/{path}", headers=headers, timeout=10).text

    document = json.loads(get("dynamic/instance-identity/document"))
    assert document["instanceId"] == get("meta-data/instance-id") == instance["id"]
    assert document["region"] == get("meta-data/placement/region")
    assert document["availabilityZone"] == get("meta-data/placement/availability-zone")
    assert document["privateIp"] == get("meta-data/local-ipv4")
    assert document["imageId"] == get("meta-data/ami-id")
    assert document["instanceType"] == get("meta-data/instance-type")
    assert json.loads(get("meta-data/iam/info"))["InstanceProfileArn"].endswith(f":instance-profile/{ROLE}")
    assert json.loads(get("meta-data/events/maintenance/scheduled")) == []
    assert get("meta-data/tags/instance/aws:autoscaling:groupName") == "workers"
    assert get("meta-data/autoscaling/target-lifecycle-state") == "InService"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("PUT", "api/token", {}, 400),
        ("PUT", "api/token", {TTL: "-1"}, 400),
        ("PUT", "api/token", {TTL: str(TTL_MAX + 1)}, 400),
        ("PUT", "api/token", {TTL: "x"}, 400),
        ("PUT", "api/token", {TTL: "60", "X-Forwarded-For": "10.0.0.1"}, 403),
        ("POST", "api/token", {TTL: "60"}, 403),
        ("DELETE", "api/token", {}, 403),
        ("GET", "meta-data/instance-id", {}, 401),
        ("GET", "meta-data/instance-id", {TOKEN: "x"}, 401),
        ("GET", "meta-data/spot/instance-action", None, 404),
        ("GET", "meta-data/events/recommendations/rebalance", None, 404),
        ("GET", f"meta-data/iam/security-credentials/{ROLE}x", None, 404),
    ],
)
def test_refusals(imds, method, path, headers, status):
    headers = token(imds) if headers is None else headers
    answer = requests.request(method, f"{imds}/latest/{path}", headers=headers, timeout=10)
    assert answer.status_code == status


def test_token_with_a_ttl_of_zero(imds):
    answer = requests.put(f"{imds}/latest/api/token", headers={TTL: "0"}, timeout=10)
    assert answer.status_code == 200
    again = requests.get(f"{imds}/latest/meta-data/", headers={TOKEN: answer.text}, timeout=10)
    assert again.status_code == 401


def test_token_of_another_instance(simulator, imds):
    other = simulator.instances[1]["environment"]["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    answer = requests.get(f"{imds}/latest/meta-data/", headers=token(other), timeout=10)
    assert answer.status_code == 401
