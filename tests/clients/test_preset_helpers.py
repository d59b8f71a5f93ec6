"""The helper programs of presets, each against a server that answers as the API does."""

import json
import sys
from base64 import b64encode
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from network import Server


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


class TestRayNode:
    """Programs that print what `ray` and `ps` do take their places. Ray itself is too large to install for this test."""

    NODE = "27457862e27c0bb5b408c7cf721dd8111f4c9b64f0c06c4ae4a1b7aa"

    @pytest.fixture
    def program(self, tmp_path):
        def program(name, script):
            file = tmp_path / "programs" / name
            file.write_text(f"#!/bin/sh\n{script}\n")
            file.chmod(0o755)
            return file

        return program

    def test_waits_for_the_node(self, run, program, tmp_path):
        """The node has work for a while. Then its process has ended, and its parent has not noticed."""
        ray = program("ray", f'echo "$*" >>{tmp_path}/calls')
        program(
            "ps",
            f"""
            case $* in
                *args*) echo "/opt/ray/raylet/raylet --raylet_socket_name=/tmp/ray/raylet --node_id={self.NODE} --port=0" ;;
                *) if [ "$(cat {tmp_path}/looks)" = ..... ]; then echo Z raylet; else echo Sl raylet; fi ;;
            esac
            echo "$(cat {tmp_path}/looks)." >{tmp_path}/looks""",
        )
        (tmp_path / "looks").touch()
        code, told = run("ray-node", ray, "10.0.0.1:6379")
        assert code == 0, told
        call = f"drain-node --address 10.0.0.1:6379 --node-id {self.NODE}"
        how = "--reason DRAIN_NODE_REASON_PREEMPTION --reason-message drainhook"
        assert (tmp_path / "calls").read_text() == f"{call} {how}\n"
        assert (tmp_path / "looks").read_text() == "......\n"

    def test_not_accepted(self, run, program):
        program("ps", f"echo raylet --node_id={self.NODE}; echo Sl raylet")
        code, told = run("ray-node", program("ray", "exit 1"), "10.0.0.1:6379")
        assert code == 1
        assert "did not accept" in told

    def test_unknown_version(self, run, program):
        """The node must not count as drained because its process is started in another way."""
        program("ps", "echo Sl raylet")
        code, told = run("ray-node", program("ray", "exit 0"), "10.0.0.1:6379")
        assert code == 1
        assert "not supported" in told

    def test_no_node(self, run, program):
        """The command runs again after the node has left."""
        program("ps", "echo Ss systemd; echo Z raylet")
        code, told = run("ray-node", program("ray", "exit 1"), "10.0.0.1:6379")
        assert code == 0, told
