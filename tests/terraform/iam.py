"""What IAM would decide, from an evaluator that knows conditions, policy variables and the keys of each action.

moto's own enforcement supports neither these conditions nor services as principals.
"""

import copy
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import ACCOUNT

Policy = dict[str, Any]

ALLOWED = "Allowed"


@dataclass(frozen=True)
class Request:
    """A call by a principal, with the context keys that AWS adds."""

    principal: str
    action: str
    resource: str
    context: Mapping[str, str | list[str]] = field(default_factory=dict)
    over_tls: bool = True

    def under(self, identity: list[Policy], of_resource: Policy | None) -> dict[str, Any]:
        of_account = self.resource.split(":")[4] if self.resource != "*" else ""
        return {
            "request": {
                "principal": self.principal,
                "action": self.action,
                "resource": {"resource": self.resource, "accountId": of_account or ACCOUNT},
                "contextVariables": {"aws:SecureTransport": str(self.over_tls).lower(), **self.context},
            },
            "identityPolicies": [{"name": str(i), "policy": policy} for i, policy in enumerate(identity)],
            "serviceControlPolicies": [],
            "resourceControlPolicies": [],
            **({"resourcePolicy": of_resource} if of_resource else {}),
        }


@dataclass(frozen=True)
class Scene:
    """Requests, and the policies that decide them."""

    requests: Mapping[str, Request]
    # Identity policies by principal, and resource policies by the resource's ARN.
    identity: Mapping[str, list[Policy]] = field(default_factory=dict)
    of_resource: Mapping[str, Policy] = field(default_factory=dict)

    def simulations(self) -> list[dict[str, Any]]:
        return [
            one.under(self.identity.get(one.principal, []), self.of_resource.get(one.resource))
            for one in self.requests.values()
        ]


def decide(*scenes: Scene) -> list[dict[str, str]]:
    """For each scene, the decision on each request, by the request's name."""
    simulations = [simulation for scene in scenes for simulation in scene.simulations()]
    done = subprocess.run(
        ["node", str(Path(__file__).with_name("decide.cjs")), os.environ["DRAINHOOK_EVALUATOR"]],
        input=json.dumps(simulations),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    decisions = iter(json.loads(done.stdout))
    return [{name: next(decisions) for name in scene.requests} for scene in scenes]


def variants(policy: Policy) -> Iterator[tuple[str, Policy]]:
    """Variants of a policy, each with the name of its change. A variant lacks one statement, action or condition. In an
    identity policy, one statement may instead apply to any resource."""

    def variant(what: str, index: int, change: Any) -> tuple[str, Policy]:
        changed = copy.deepcopy(policy)
        change(changed["Statement"], index)
        sid = policy["Statement"][index].get("Sid", index)
        return f"{sid}: {what}", {**changed, "Statement": [one for one in changed["Statement"] if one]}

    for index, statement in enumerate(policy["Statement"]):
        yield variant("gone", index, lambda all, i: all.__setitem__(i, None))
        actions = statement["Action"] if isinstance(statement["Action"], list) else []
        for action in actions if len(actions) > 1 else []:
            yield variant(f"without {action}", index, lambda all, i, action=action: all[i]["Action"].remove(action))
        if statement.get("Resource", "*") != "*" and "Principal" not in statement:
            yield variant("for any resource", index, lambda all, i: all[i].update(Resource="*"))
        for operator, keys in statement.get("Condition", {}).items():
            for key in keys:
                yield variant(
                    f"without {operator} {key}",
                    index,
                    lambda all, i, operator=operator, key=key: all[i]["Condition"][operator].pop(key),
                )
