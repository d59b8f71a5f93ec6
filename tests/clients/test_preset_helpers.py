"""The helper programs of presets, each against a server that answers as the API does."""

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from network import Server

HELPERS = Path(__file__).parents[2] / "presets" / "helpers"
SECONDS_MAX = 60


class Api(Server):
    """Gives a list of answers, one for each request, and records the requests. The last answer is repeated."""

    def __init__(self, answers):
        self.requests, self.secrets = [], []
        self.answers = list(answers)
        super().__init__(self.answer)

    def answer(self, method, path, headers, _):
        self.requests.append(f"{method} {path}")
        self.secrets.append(headers.get("authorization"))
        status, content = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return status, {}, content if isinstance(content, bytes) else json.dumps(content).encode()


@pytest.fixture
def api():
    """Starts such servers."""
    started = []

    def start(*answers):
        started.append(Api(answers))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def run(tmp_path):
    """Runs a helper with the environment that the daemon gives it. Returns its exit status and its output."""
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
            timeout=SECONDS_MAX,
        )
        return ran.returncode, ran.stdout + ran.stderr

    return run


@pytest.fixture(scope="module")
def aws():
    """moto's AWS."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    address, port = server.get_host_and_port()
    yield f"http://{address}:{port}"
    server.stop()


class TestGithubRunner:
    JOB = 422, {"message": 'Bad request - Runner "runner" is still running a job'}
    GONE = 404, {"message": "Not Found"}

    @pytest.fixture
    def drain(self, run, tmp_path):
        def drain(url, **variables):
            # The runner's own file begins with a byte order mark.
            settings = json.dumps({"agentId": 21, "agentName": "runner", "gitHubUrl": url}, indent=2)
            (tmp_path / ".runner").write_text(settings, encoding="utf-8-sig")
            (tmp_path / "token").write_text("github_pat_secret\n")
            return run("github-runner", tmp_path, tmp_path / "token", **variables)

        return drain

    @pytest.mark.parametrize(
        "scope, path",
        [("owner/repo", "repos/owner/repo"), ("org", "orgs/org"), ("enterprises/name", "enterprises/name")],
    )
    def test_waits_for_the_job(self, scope, path, drain, api):
        """GitHub refuses to delete the runner as long as it has a job."""
        github = api(self.JOB, self.JOB, (204, b""))
        code, told = drain(f"{github.url}/{scope}")
        assert code == 0, told
        assert github.requests == [f"DELETE /api/v3/{path}/actions/runners/21"] * 3
        assert set(github.secrets) == {"Bearer github_pat_secret"}
        assert "has a job; waiting" in told
        assert "secret" not in told

    def test_already_deleted(self, drain, api):
        """An ephemeral runner deletes itself after its job. The command of a restarted daemon runs again."""
        github = api(self.GONE, (200, {"total_count": 0, "runners": []}))
        code, told = drain(f"{github.url}/org")
        assert code == 0, told
        assert github.requests[-1] == "GET /api/v3/orgs/org/actions/runners?per_page=1"

    def test_no_permission(self, drain, api):
        """GitHub also answers 404 to a token that may not see the runners. The runner may have a job."""
        code, told = drain(f"{api(self.GONE).url}/org")
        assert code == 1
        assert "let the token in" in told

    @pytest.mark.parametrize("status", [401, 403])
    def test_bad_token(self, status, drain, api):
        code, told = drain(f"{api((status, {'message': 'Bad credentials'})).url}/org")
        assert code == 1
        assert f"GitHub answered {status}" in told

    @pytest.mark.parametrize(
        "answer", [(403, {"message": "API rate limit exceeded for user ID 1."}), (429, {}), (502, b"<html>\n2</html>")]
    )
    def test_try_again(self, answer, drain, api):
        code, told = drain(f"{api(answer).url}/org")
        assert code == 75, told
        assert "trying again" in told

    def test_unreachable(self, drain, api):
        github = api((204, b""))
        github.close()
        code, told = drain(f"{github.url}/org")
        assert code == 75
        assert "cannot reach" in told and "curl: (7)" in told

    def test_github_com(self, drain, api):
        """The API of github.com is at another host. A proxy sees which one."""
        proxy = api((502, b""))
        code, _ = drain("https://github.com/org", https_proxy=proxy.url)
        assert code == 75
        assert proxy.requests == ["CONNECT api.github.com:443"]

    def test_unreadable(self, run, tmp_path):
        code, told = run("github-runner", tmp_path, tmp_path / "token")
        assert code == 1
        assert "name the runner's folder" in told


class Jenkins(Server):
    """A controller with one agent. `idle` says for each look at the agent whether it has no build. The last one is repeated."""

    def __init__(self, *idle, offline=False, deaf=False):
        self.idle, self.offline, self.deaf = list(idle), offline, deaf
        self.toggles, self.secrets = 0, set()
        super().__init__(self.answer)

    def answer(self, method, path, headers, _):
        self.secrets.add(headers.get("authorization"))
        if path.startswith("/computer/agent-1/api/json"):
            idle = self.idle.pop(0) if len(self.idle) > 1 else self.idle[0]
            state = {"_class": "hudson.slaves.SlaveComputer", "idle": idle, "temporarilyOffline": self.offline}
            return 200, {}, json.dumps(state, separators=(",", ":")).encode()
        if method == "POST" and path == "/computer/agent-1/toggleOffline?offlineMessage=drainhook":
            self.toggles += 1
            self.offline = not self.offline
            return (502 if self.deaf else 302), {"location": "/computer/agent-1/"}, b""
        return 404, {}, b""


class TestJenkinsAgent:
    @pytest.fixture
    def jenkins(self):
        started = []

        def start(*idle, **state):
            started.append(Jenkins(*idle, **state))
            return started[-1]

        yield start
        for server in started:
            server.close()

    @pytest.fixture
    def order(self, run, tmp_path):
        def order(word, url):
            (tmp_path / "token").write_text("drainhook:11secret\n")
            return run("jenkins-agent", word, f"{url}/computer/agent-1/", tmp_path / "token")

        return order

    def test_waits_for_the_build(self, order, jenkins):
        controller = jenkins(False, False, False, True)
        code, told = order("drain", controller.url)
        assert code == 0, told
        assert (controller.offline, controller.toggles, controller.idle) == (True, 1, [True])
        assert controller.secrets == {f"Basic {b64encode(b'drainhook:11secret').decode()}"}
        assert "secret" not in told

    def test_answer_is_lost(self, order, jenkins):
        """The controller takes the agent offline, and its answer is lost. The next run must not toggle again."""
        controller = jenkins(False, False, True, deaf=True)
        code, told = order("drain", controller.url)
        assert code == 75 and "answered 502" in told
        code, told = order("drain", controller.url)
        assert code == 0, told
        assert (controller.offline, controller.toggles) == (True, 1)

    def test_back(self, order, jenkins):
        """The command may run again until it has succeeded."""
        controller = jenkins(True, offline=True)
        for _ in range(2):
            code, told = order("return", controller.url)
            assert code == 0, told
            assert (controller.offline, controller.toggles) == (False, 1)

    def test_online_again(self, order, api):
        """A person takes the agent online while its build ends, so it may have a new one."""
        before, after = ({"idle": True, "temporarilyOffline": offline} for offline in (True, False))
        answers = [(200, json.dumps(one, separators=(",", ":")).encode()) for one in (before, after)]
        code, told = order("drain", api(*answers).url)
        assert code == 75, told
        assert "is online" in told

    @pytest.mark.parametrize("status, code", [(401, 1), (403, 1), (404, 1), (503, 75), (200, 75)])
    def test_refused(self, status, code, order, api):
        controller = api((status, b"<html></html>"))
        assert order("drain", controller.url)[0] == code
        assert len(controller.requests) == 1, "it toggled an agent of which it does not know whether it is offline"


class TestEcsInstance:
    """Calls go to moto's ECS, by the real AWS CLI."""

    TASK = {"Arn": "arn:aws:ecs:eu-west-1:123456789012:task/1", "DesiredStatus": "RUNNING", "Family": "web", "Containers": []}
    AWS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}

    @pytest.fixture
    def ecs(self, aws):
        client = boto3.client(
            "ecs", "eu-west-1", endpoint_url=aws, aws_access_key_id="id", aws_secret_access_key="secret"
        )
        client.create_cluster(clusterName="work")
        return client

    @pytest.fixture
    def instance(self, aws, ecs):
        """An EC2 instance that has joined the cluster."""
        ec2 = boto3.client(
            "ec2", "eu-west-1", endpoint_url=aws, aws_access_key_id="id", aws_secret_access_key="secret"
        )
        image = ec2.describe_images()["Images"][0]["ImageId"]
        instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        document = {"instanceId": instance, "accountId": "123456789012", "region": "eu-west-1"}
        joined = ecs.register_container_instance(
            cluster="work", instanceIdentityDocument=json.dumps(document | {"instanceType": "t3.micro"})
        )
        return joined["containerInstance"]["containerInstanceArn"]

    @pytest.fixture
    def order(self, run, aws, tmp_path):
        """Runs the helper with the AWS CLI of this environment."""

        def order(word, agent, endpoint=aws):
            return run("ecs-instance", word, agent, **self.AWS, AWS_ENDPOINT_URL=endpoint)

        (tmp_path / "programs" / "aws").symlink_to(Path(sys.executable).with_name("aws"))
        return order

    def metadata(self, instance):
        return 200, {"Cluster": "work", "ContainerInstanceArn": instance, "Version": "Amazon ECS Agent - v1.99.0 (*0)"}

    def tasks(self, *statuses):
        return 200, {"Tasks": [self.TASK | {"KnownStatus": status} for status in statuses] or None}

    @staticmethod
    def status(ecs, instance):
        described = ecs.describe_container_instances(cluster="work", containerInstances=[instance])
        return described["containerInstances"][0]["status"]

    def test_waits_for_the_tasks(self, order, ecs, instance, api):
        """One task is still running after another has stopped. The agent restarts meanwhile."""
        agent = api(
            self.metadata(instance),
            self.tasks("RUNNING", "RUNNING"),
            self.tasks("STOPPED", "RUNNING"),
            (500, b""),
            (200, {}),
            self.tasks("STOPPED", "STOPPED"),
        )
        code, told = order("drain", agent.url)
        assert code == 0, told
        assert agent.requests == ["GET /v1/metadata"] + ["GET /v1/tasks"] * 5
        assert self.status(ecs, instance) == "DRAINING"

    def test_again_and_back(self, order, ecs, instance, api):
        """A restarted daemon runs the command again. Then the instance stays."""
        for word, status, changes in [("drain", "DRAINING", 1), ("drain", "DRAINING", 0), ("return", "ACTIVE", 0)]:
            code, told = order(word, api(self.metadata(instance), self.tasks()).url)
            assert code == 0, told
            assert self.status(ecs, instance) == status
            # ECS sets an instance to DRAINING only from ACTIVE, so the second run does not ask for it.
            assert told.count("is DRAINING") == changes, told

    def test_not_joined(self, order, api):
        code, told = order("drain", api((200, {"Cluster": "work", "ContainerInstanceArn": None})).url)
        assert code == 75
        assert "has not joined a cluster" in told

    def test_unknown_instance(self, order, ecs, instance, api):
        """ECS answers 200 and reports a failure."""
        code, told = order("return", api(self.metadata(instance + "0")).url)
        assert code == 75
        assert "MISSING" in told

    def test_no_agent(self, order, api):
        agent = api(self.tasks())
        agent.close()
        code, told = order("drain", agent.url)
        assert code == 75
        assert "does not answer" in told and "curl: (7)" in told

    def test_task_under_way(self, order, instance, api):
        """ECS has placed a task of which the agent has not heard."""

        def state(pending):
            counts = {"runningTasksCount": 0, "pendingTasksCount": pending}
            return 200, {"containerInstances": [{"status": "DRAINING"} | counts], "failures": []}

        agent = api(self.metadata(instance), self.tasks(), self.tasks("RUNNING"), self.tasks())
        ecs = api(state(1), state(1), state(0))
        code, told = order("drain", agent.url, ecs.url)
        assert code == 0, told
        assert agent.requests == ["GET /v1/metadata"] + ["GET /v1/tasks"] * 3
        assert len(ecs.requests) == 3

    def test_no_permission(self, order, instance, api):
        """The role of the instance does not permit the calls."""
        ecs = api((400, {"__type": "AccessDeniedException", "message": "User is not authorized"}))
        code, told = order("drain", api(self.metadata(instance)).url, ecs.url)
        assert code == 1, told
        assert "let the role of this instance make the call" in told


class Cluster(Server):
    """The API of a cluster with one node and one pod, as far as kubectl asks for it."""

    NODES, NODE = "/api/v1/nodes", "/api/v1/nodes/node-1"
    POD, EVICTION = "/api/v1/namespaces/default/pods/web", "/api/v1/namespaces/default/pods/web/eviction"

    def __init__(self, provider_id="aws:///eu-west-1a/i-0123456789abcdef0", owned=True, cordons=True):
        self.provider_id, self.owned, self.cordons = provider_id, owned, cordons
        self.unschedulable, self.evictions, self.evicted = False, 0, False
        super().__init__(self.reply)

    def reply(self, method, path, _, body):
        status, document = self.answer(method, path.partition("?")[0], body)
        return status, {"content-type": "application/json"}, json.dumps(document).encode()

    def answer(self, method, path, body):
        policy = {"groupVersion": "policy/v1", "version": "v1"}
        eviction = {"name": "pods/eviction", "kind": "Eviction", "namespaced": True, "group": "policy", "version": "v1"}
        kinds = [{"name": "nodes", "kind": "Node"}, {"name": "pods", "kind": "Pod", "namespaced": True}, eviction]
        match method, path:
            case "GET", "/api":
                return 200, {"kind": "APIVersions", "versions": ["v1"]}
            case "GET", "/apis":
                group = {"name": "policy", "versions": [policy], "preferredVersion": policy}
                return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}
            case "GET", "/api/v1":
                return 200, {"kind": "APIResourceList", "groupVersion": "v1", "resources": kinds}
            case "GET", "/apis/policy/v1":
                return 200, {"kind": "APIResourceList", "groupVersion": "policy/v1", "resources": []}
            case "GET", self.NODES:
                return 200, {"kind": "NodeList", "apiVersion": "v1", "items": [self.node()]}
            case "GET", self.NODE:
                return 200, self.node()
            case "PATCH", self.NODE if self.cordons:
                self.unschedulable = bool(json.loads(body)["spec"]["unschedulable"])
                return 200, self.node()
            case "GET", "/api/v1/pods":
                return 200, {"kind": "PodList", "apiVersion": "v1", "items": [] if self.evicted else [self.pod()]}
            case "GET", self.POD if not self.evicted:
                return 200, self.pod()
            case "POST", self.EVICTION:
                return self.evict()
        code, reason = (403, "Forbidden") if method == "PATCH" else (404, "NotFound")
        return code, self.status(code, reason, f"{path} is {reason}")

    def evict(self):
        """A disruption budget holds the pod back once."""
        self.evictions += 1
        if self.evictions == 1:
            return 429, self.status(429, "TooManyRequests", "it would violate the pod's disruption budget")
        self.evicted = True
        return 201, {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def status(self, code, reason, message):
        failure = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
        return failure | {"code": code, "reason": reason, "message": message}

    def node(self):
        spec = {"providerID": self.provider_id} | ({"unschedulable": True} if self.unschedulable else {})
        return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node-1", "uid": "1"}, "spec": spec}

    def pod(self):
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "2", "controller": True}
        about = {"name": "web", "namespace": "default", "uid": "3", "ownerReferences": [owner] if self.owned else []}
        spec = {"nodeName": "node-1", "containers": [{"name": "web"}]}
        return {"kind": "Pod", "apiVersion": "v1", "metadata": about, "spec": spec, "status": {"phase": "Running"}}


class TestKubernetesNode:
    """The real kubectl talks to a server that answers as a cluster does."""

    @pytest.fixture
    def cluster(self):
        started = []

        def start(**about):
            started.append(Cluster(**about))
            return started[-1]

        yield start
        for server in started:
            server.close()

    @pytest.fixture
    def order(self, run, tmp_path):
        def order(word, url, *node):
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "work", "cluster": {"server": url}}],
                "users": [{"name": "drainhook", "user": {}}],
                "contexts": [{"name": "work", "context": {"cluster": "work", "user": "drainhook"}}],
                "current-context": "work",
            }
            (tmp_path / "kubeconfig").write_text(json.dumps(config))
            return run("kubernetes-node", word, tmp_path / "kubeconfig", *node)

        return order

    def test_drain_and_return(self, order, cluster):
        """The node is found by the instance's id. A disruption budget holds its pod back for a while."""
        work = cluster()
        code, told = order("drain", work.url)
        assert code == 0, told
        assert (work.unschedulable, work.evicted, work.evictions) == (True, True, 2)
        code, told = order("return", work.url)
        assert code == 0, told
        assert not work.unschedulable

    def test_cordon_is_refused(self, order, cluster):
        """kubectl evicts the pods all the same, and exits with 0. The node would get new ones."""
        work = cluster(cordons=False)
        code, told = order("drain", work.url)
        assert code == 75, told
        assert work.evicted and "did not change whether node-1 takes pods" in told

    def test_pod_without_controller(self, order, cluster):
        work = cluster(owned=False)
        code, told = order("drain", work.url)
        assert code == 75, told
        assert work.evictions == 0 and "--force" in told

    def test_other_provider(self, order, cluster):
        """The provider id does not name the instance, so the user must name the node."""
        work = cluster(provider_id="k3s://node-1")
        code, told = order("drain", work.url)
        assert (code, work.evictions) == (1, 0), told
        assert "name the node" in told
        code, told = order("drain", work.url, "node-1")
        assert code == 0, told

    def test_unreachable(self, order, cluster):
        work = cluster()
        work.close()
        code, told = order("drain", work.url)
        assert code == 75 and "cannot list the nodes" in told
