"""The helper programs of presets, each against a server that answers as the API does."""

import json
import os
import subprocess
from pathlib import Path

import pytest
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
