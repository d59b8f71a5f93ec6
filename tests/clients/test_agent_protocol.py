"""docs/openapi.yaml is valid, and the sample agents and the simulator's agent answer as it says."""

import json
import re
import sys
from urllib.parse import urlsplit

import contract
import openapi_spec_validator
import pytest
from agents import Agent, samples
from conftest import wait_for
from network import Exchange, ask
from sites import SITES

SCHEMAS = contract.DOCUMENT["components"]["schemas"]
REASONS = SCHEMAS["DrainOrder"]["properties"]["reason"]["enum"]
ORDER = SCHEMAS["DrainOrder"]["examples"][0]


def test_document():
    assert contract.DOCUMENT["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(contract.DOCUMENT)
    for name, schema in SCHEMAS.items():
        assert schema["examples"]
        for example in schema["examples"]:
            assert not contract.complaints(contract.schema_named(name), example)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Status", {"in_flight": 0}),
        ("Status", {"state": "done"}),
        ("Status", {"state": "draining", "in_flight": -1}),
        ("Status", {"state": "draining", "in_flight": 1.5}),
        ("Status", {"state": "draining", "in_flight": 2**53 + 1}),
        ("Status", {"state": "draining", "gauges": {"x": "y"}}),
        ("Status", {"state": "draining", "gauges": {"x" * 65: 1}}),
        ("Status", {"state": "draining", "gauges": {str(n): n for n in range(65)}}),
        ("Status", {"state": "draining", "else": 1}),
        ("DrainOrder", {name: value for name, value in ORDER.items() if name != "notice"}),
        ("DrainOrder", ORDER | {"reason": "boredom"}),
        ("DrainOrder", ORDER | {"deadline": "soon"}),
        ("DrainOrder", ORDER | {"else": 1}),
        ("Error", {}),
    ],
)
def test_schemas_refuse(name, value):
    assert contract.complaints(contract.schema_named(name), value)


@pytest.mark.parametrize(
    "exchange",
    [
        Exchange("PATCH", "/drain", {}, b""),
        Exchange("GET", "/drain", {"prefer": "wait=21"}, b""),
        Exchange("DELETE", "/drain", {"prefer": "wait=20"}, b""),
        Exchange("POST", "/drain", {"content-type": "application/json"}, b"{}"),
        Exchange("GET", "/drain", {}, b"", status=302),
        Exchange("GET", "/drain", {}, b"", status=200, answer_headers={"content-type": "text/html"}),
    ],
    ids=lambda exchange: f"{exchange.method} {exchange.status}",
)
def test_check_refuses(exchange):
    with pytest.raises(AssertionError):
        contract.check(exchange)


def asked(url, method, path="/drain", body=None, **headers):
    """Makes a request to an agent, and checks the answer against the document. Returns its status and body."""
    if body is not None:
        headers["content-type"] = "application/json"
    status, answered, answer = ask(urlsplit(url).netloc, method, path, headers, body)
    exchange = Exchange(method, path, headers, body or b"", status=status, answer_headers=answered, answer=answer)
    if method.lower() in contract.DOCUMENT["paths"].get(path, {}):
        contract.check_answer(exchange)
    return status, json.loads(answer)


@pytest.fixture(scope="module", params=[*samples(*SITES), "simulator"])
def agent(request, simulator, tmp_path_factory):
    """The URL of an agent and the id of its instance."""
    instance = simulator.instances[1]
    if request.param == "simulator":
        yield instance["environment"]["DRAINHOOK_AGENT__URL"], instance["id"]
        return
    site = SITES[request.param](simulator, tmp_path_factory.mktemp("site"))
    try:
        yield site.agent(request.param, RECEIVE_SECONDS="1").url, instance["id"]
    finally:
        site.close()


def test_agents_answer_as_documented(agent):
    url, instance = agent
    assert asked(url, "GET")[1]["state"] == "serving"
    assert asked(url, "GET", "/health")[0] == 200
    for reason in REASONS:
        order = ORDER | {"reason": reason, "instance_id": instance}
        status, document = asked(url, "POST", body=json.dumps(order).encode())
        assert status == 202 and document["state"] in ("draining", "drained")
    status, document = asked(url, "GET", prefer="wait=1")
    assert status == 200 and document["state"] in ("draining", "drained")
    status, document = asked(url, "DELETE")
    assert status == 200 and document["state"] == "serving"


def test_agents_refuse_bad_requests(agent):
    url, _ = agent
    for body in (b"drain!", b"[]", b'{"deadline": 5}', b'{"deadline": "soon"}', b"\xff"):
        assert asked(url, "POST", body=body)[0] == 400, body
    for method, path, expected in (("PUT", "/drain", 405), ("POST", "/health", 405), ("GET", "/drains", 404)):
        status, document = asked(url, method, path, body=b"{}" if method != "GET" else None)
        assert status == expected and not contract.complaints(contract.schema_named("Error"), document)
    assert asked(url, "GET")[1]["state"] == "serving"


# Makes the agent listen on a free port, print its URL, and finish tasks quickly.
PRELUDE = """
import http.server, sys, threading, time

class Server(http.server.ThreadingHTTPServer):
    def __init__(self, address, handler):
        super().__init__((address[0], 0), handler)
        print(f"listening on http://127.0.0.1:{self.server_port}", file=sys.stderr, flush=True)

http.server.ThreadingHTTPServer = Server
time.sleep = lambda _: threading.Event().wait(0.1)
"""


def test_agent_in_the_docs():
    page = contract.PATH.with_name("agent-protocol.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    example = contract.PATH.parent.parent / "examples" / "agents" / "small" / "agent.py"
    assert code == example.read_text(), f"the agent in docs/agent-protocol.md differs from {example.name}"
    agent = Agent((sys.executable, "-c", PRELUDE + code), {})
    try:
        assert asked(agent.url, "GET")[1]["state"] == "serving"
        assert asked(agent.url, "POST", body=json.dumps(ORDER).encode())[0] == 200
        wait_for(lambda: asked(agent.url, "GET")[1] == {"state": "drained", "in_flight": 0}, "the agent is drained")
    finally:
        agent.stop()
        agent.proxy.close()
