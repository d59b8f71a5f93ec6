"""Becomes an AWS on loopback, and says on standard output where it answers: moto's server.

moto keeps of a lifecycle hook neither target nor role nor metadata and answers with fixed ones; here it keeps them.
"""

import logging
import sys
from typing import Any

from moto.autoscaling.responses import AutoScalingResponse
from moto.server import ThreadedMotoServer

put_lifecycle_hook = AutoScalingResponse.put_lifecycle_hook


def put_whole_lifecycle_hook(self: AutoScalingResponse) -> Any:
    done = put_lifecycle_hook(self)
    (hook,) = self.autoscaling_backend.describe_lifecycle_hooks(
        self._get_param("AutoScalingGroupName"), [self._get_param("LifecycleHookName")]
    )
    hook.notification_target_arn = self._get_param("NotificationTargetARN")
    hook.role_arn = self._get_param("RoleARN")
    hook.notification_metadata = self._get_param("NotificationMetadata")
    hook.global_timeout = min(100 * hook.heartbeat_timeout, 172_800)
    return done


AutoScalingResponse.put_lifecycle_hook = put_whole_lifecycle_hook

if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    # Whoever started it ends it by closing its standard input.
    sys.stdin.read()
    server.stop()
