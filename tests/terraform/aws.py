"""Runs moto's server, a simulated AWS on loopback, and prints its URL.

Two patches make moto more like AWS:

- moto does not store a lifecycle hook's target, role and metadata, and returns fixed values. The patch stores them. A
  later PutLifecycleHook that omits one keeps the old value, as in AWS (hashicorp/terraform-provider-aws#21329; the
  API's "If you specify an empty string, this overrides the current ARN").
- moto drops a queue's policy when other attributes are set. The patch keeps it.
"""

import logging
import sys
from typing import Any

from moto.autoscaling.models import AutoScalingBackend, LifecycleHook
from moto.autoscaling.responses import AutoScalingResponse
from moto.server import ThreadedMotoServer
from moto.sqs.models import Queue

KEPT = {
    "NotificationTargetARN": "notification_target_arn",
    "RoleARN": "role_arn",
    "NotificationMetadata": "notification_metadata",
}
put_lifecycle_hook = AutoScalingResponse.put_lifecycle_hook
set_queue_attributes = Queue._set_attributes


def put_whole_lifecycle_hook(self: AutoScalingResponse) -> Any:
    group, name = self._get_param("AutoScalingGroupName"), self._get_param("LifecycleHookName")
    before = find_hook(self.autoscaling_backend, group, name)
    done = put_lifecycle_hook(self)
    hook = find_hook(self.autoscaling_backend, group, name)
    for parameter, attribute in KEPT.items():
        kept = getattr(before, attribute) if before else None
        setattr(hook, attribute, self._get_param(parameter, kept))
    return done


def find_hook(backend: AutoScalingBackend, group: str, name: str) -> LifecycleHook | None:
    return next(iter(backend.describe_lifecycle_hooks(group, [name])), None)


def set_only_these_attributes(self: Queue, attributes: dict[str, Any], now: float | None = None) -> None:
    policy = {"Policy": getattr(self, "policy", None)}
    set_queue_attributes(self, policy | attributes, now)


AutoScalingResponse.put_lifecycle_hook = put_whole_lifecycle_hook
Queue._set_attributes = set_only_these_attributes

if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    # The caller stops this process by closing its standard input.
    sys.stdin.read()
    server.stop()
