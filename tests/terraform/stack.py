"""A root module that calls terraform/, and the real Terraform and provider that apply it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

MODULE = Path(__file__).resolve().parents[2] / "terraform"
RUN_SECONDS_MAX = 300
# Terraform's default is 10. An apply mostly waits while the provider polls SQS.
PARALLELISM = 40


class Stack:
    """Calls of the module in one folder, with one state."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder = folder
        self.environment = environment

    def write(self, calls: dict[str, dict[str, Any]]) -> None:
        """Calls the module with these inputs, under these names."""
        source = os.path.relpath(MODULE, self.folder)
        root = {
            "module": {name: {"source": source} | inputs for name, inputs in calls.items()},
            "output": {name: {"value": f"${{module.{name}}}"} for name in calls},
        }
        (self.folder / "main.tf.json").write_text(json.dumps(root, indent=2))
        self.run("init", "-backend=false")

    def apply(self) -> dict[str, dict[str, Any]]:
        """Applies, and returns each call's outputs."""
        self.run("apply", "-auto-approve", f"-parallelism={PARALLELISM}")
        return {name: output["value"] for name, output in json.loads(self.run("output", "-json")).items()}

    def plan(self) -> dict[str, dict[str, str]]:
        """What an apply would do, after a refresh: by call of the module and resource, `create`, `update`, `replace` or
        `delete`."""
        told = self.run("plan", "-json", f"-parallelism={PARALLELISM}")
        changes: dict[str, dict[str, str]] = {}
        for line in told.splitlines():
            message = json.loads(line)
            if message["type"] == "planned_change":
                resource = message["change"]["resource"]
                call = resource["module"].removeprefix("module.")
                address = resource["addr"].removeprefix(f"{resource['module']}.")
                changes.setdefault(call, {})[address] = message["change"]["action"]
        return changes

    def is_up_to_date(self) -> None:
        """Fails if a plan has any changes, of outputs too."""
        self.run("plan", "-detailed-exitcode", f"-parallelism={PARALLELISM}")

    def destroy(self) -> None:
        self.run("destroy", "-auto-approve", f"-parallelism={PARALLELISM}")

    def run(self, *arguments: str) -> str:
        """Runs a command that must succeed. Returns its standard output."""
        done = self.finish(*arguments)
        assert done.returncode == 0, f"terraform {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def finish(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        interactive = [] if command == "output" else ["-input=false"]
        return subprocess.run(
            ["terraform", command, *interactive, *arguments, "-no-color"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS_MAX,
        )
