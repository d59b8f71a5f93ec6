# What the module creates from its variables. Runs apply, with the mocks, where a value depends on a response from AWS.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  group_name = "workers"
}

run "defaults" {
  command = plan

  assert {
    condition     = aws_autoscaling_lifecycle_hook.this.lifecycle_transition == "autoscaling:EC2_INSTANCE_TERMINATING"
    error_message = "the hook is for ${aws_autoscaling_lifecycle_hook.this.lifecycle_transition}"
  }

  assert {
    condition     = aws_autoscaling_lifecycle_hook.this.heartbeat_timeout == 300 && aws_autoscaling_lifecycle_hook.this.default_result == "CONTINUE"
    error_message = "the hook has the wrong heartbeat timeout or default result"
  }

  assert {
    condition     = aws_autoscaling_lifecycle_hook.this.notification_target_arn == null && length(aws_iam_role.this) == 0
    error_message = "the hook has a target or a role, though the rule sends its messages"
  }

  assert {
    condition     = aws_sqs_queue.this[0].name == "workers-termination" && aws_sqs_queue.this[0].message_retention_seconds == 3600 && aws_sqs_queue.this[0].sqs_managed_sse_enabled
    error_message = "the queue has the wrong name or retention, or is not encrypted"
  }

  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.this["termination"].event_pattern) == {
      source      = ["aws.autoscaling"]
      detail-type = ["EC2 Instance-terminate Lifecycle Action"]
      detail      = { AutoScalingGroupName = ["workers"], LifecycleHookName = ["drain"] }
    }
    error_message = "the rule's pattern is ${aws_cloudwatch_event_rule.this["termination"].event_pattern}"
  }

  assert {
    condition     = keys(aws_cloudwatch_event_rule.this) == ["termination"]
    error_message = "the module created rules for events that are off by default"
  }

  assert {
    condition     = length(aws_iam_policy.this) + length(aws_autoscaling_lifecycle_hook.launch) + length(aws_sqs_queue.counted) == 0
    error_message = "the module created a policy, a launch hook or a counting queue that is off by default"
  }
}

run "configuration" {
  assert {
    condition     = output.configuration == <<-EOT
      [agent]
      drain_timeout = "3600s"

      [queue]
      url = "https://sqs.eu-west-1.amazonaws.com/123456789012/a-queue"

      [lifecycle]
      hook = "drain"
      group = "workers"
      drain_at = "notice"
      heartbeat_timeout = "300s"
    EOT
    error_message = output.configuration
  }

  assert {
    condition     = output.user_data == "#!/bin/bash\ncat >/etc/drainhook/drainhook.toml <<'END'\n${output.configuration}END\nsystemctl restart drainhook.service\n"
    error_message = output.user_data
  }
}

run "configuration_of_an_agent" {
  variables {
    group_name    = "my (own) workers"
    hook_name     = "fleet/drain"
    wiring        = "none"
    drain_at      = "wait"
    drain_timeout = 90
    agent         = { unix = "/run/worker.sock", drain = { blocks = true }, on_exit = "drained" }
  }

  assert {
    condition     = output.configuration == <<-EOT
      [agent]
      drain.blocks = true
      drain_timeout = "90s"
      on_exit = "drained"
      unix = "/run/worker.sock"

      [lifecycle]
      hook = "fleet/drain"
      group = "my (own) workers"
      drain_at = "wait"
      heartbeat_timeout = "300s"
    EOT
    error_message = output.configuration
  }

  assert {
    condition     = output.queue_url == null && output.dead_letter_queue_url == null && output.rule_arn == null
    error_message = "there is a queue or a rule, though the wiring is none"
  }
}

run "configuration_of_an_agent_with_its_own_requests" {
  variables {
    wiring = "none"
    agent = {
      drain   = { method = "PUT", path = "/v1/info/state", body = "\"DRAINING\"", success = [409] }
      return  = { method = "PUT", path = "/v1/info/state", body = "\"ACTIVE\"" }
      headers = { X-Trino-User = "drainhook", X-Key = { file = "/etc/drainhook/key" } }
    }
  }

  assert {
    condition = strcontains(output.configuration, <<-EOT
      [agent]
      drain.body = "\"DRAINING\""
      drain.method = "PUT"
      drain.path = "/v1/info/state"
      drain.success = [409]
      drain_timeout = "3600s"
      headers."X-Key".file = "/etc/drainhook/key"
      headers."X-Trino-User" = "drainhook"
      return.body = "\"ACTIVE\""
      return.method = "PUT"
      return.path = "/v1/info/state"
    EOT
    )
    error_message = output.configuration
  }
}

run "group_name_that_a_queue_cannot_have" {
  command = plan

  variables {
    group_name = "my.workers"
  }

  assert {
    condition     = aws_sqs_queue.this[0].name == "my-workers-${substr(sha256("my.workers"), 0, 8)}-termination"
    error_message = "the queue is ${aws_sqs_queue.this[0].name}, which the group my-workers could have too"
  }

  assert {
    condition     = aws_autoscaling_lifecycle_hook.this.autoscaling_group_name == "my.workers"
    error_message = "the hook belongs to the wrong group"
  }
}

# Names of SQS queues may have 80 characters, names of EventBridge rules and IAM roles 64.
run "long_names" {
  command = plan

  variables {
    group_name       = join("", [for _ in range(255) : "w"])
    wiring           = "direct"
    spot_events      = true
    completion_alarm = true
    role_name        = "workers"
  }

  assert {
    condition = alltrue([for name in concat(
      [for rule in aws_cloudwatch_event_rule.this : rule.name],
      [for rule in aws_cloudwatch_event_rule.counted : rule.name],
      aws_iam_role.this[*].name,
      aws_sqs_queue.dead_letter[*].name,
    ) : length(name) <= 64])
    error_message = "a name is too long"
  }
}

# The longest name of a Region has 14 characters.
run "long_names_that_fit" {
  command = plan

  variables {
    group_name = join("", [for _ in range(36) : "w"])
    wiring     = "sns"
  }

  override_data {
    target = data.aws_region.this
    values = { id = "ap-southeast-1" }
  }

  assert {
    condition     = length(aws_iam_role.this[0].name) <= 64 && length(aws_sqs_queue.dead_letter[0].name) <= 80
    error_message = "a name is too long: ${aws_iam_role.this[0].name}"
  }
}

run "direct" {
  variables {
    wiring = "direct"
  }

  assert {
    condition     = aws_autoscaling_lifecycle_hook.this.notification_target_arn == aws_sqs_queue.this[0].arn && aws_autoscaling_lifecycle_hook.this.role_arn == aws_iam_role.this[0].arn
    error_message = "the hook does not send to the queue"
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.this) == 0 && length(aws_sqs_queue.dead_letter) == 0
    error_message = "there is a rule or a dead-letter queue, though the hook sends to the queue itself"
  }
}

run "sns" {
  variables {
    wiring = "sns"
  }

  assert {
    condition     = aws_autoscaling_lifecycle_hook.this.notification_target_arn == aws_sns_topic.this[0].arn && aws_sns_topic_subscription.this[0].raw_message_delivery
    error_message = "the hook does not send to the topic, or SNS adds its envelope to the messages"
  }

  assert {
    condition     = aws_sns_topic.this[0].kms_master_key_id == "alias/aws/sns"
    error_message = "the topic is not encrypted"
  }
}

run "own_key" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }

  assert {
    condition     = alltrue([for queue in concat(aws_sqs_queue.this, aws_sqs_queue.dead_letter) : queue.kms_master_key_id == var.kms_key_arn])
    error_message = "a queue does not use kms_key_arn"
  }
}

run "spot_and_rebalance_events" {
  command = plan

  variables {
    spot_events      = true
    rebalance_events = true
  }

  assert {
    condition     = keys(aws_cloudwatch_event_target.this) == ["rebalance", "spot", "termination"]
    error_message = "a rule or a target is missing"
  }
}

# The user data of an agent that is a unit also installs the rule for polkit.
run "user_data_of_a_unit" {
  command = plan

  variables {
    agent = { unit = "worker.service", drain = { signal = "SIGQUIT" } }
  }

  assert {
    condition     = strcontains(output.configuration, "unit = \"worker.service\"\n") && strcontains(output.configuration, "drain.signal = \"SIGQUIT\"\n")
    error_message = output.configuration
  }

  assert {
    condition     = endswith(output.user_data, "END\nrule=$(drainhook config --polkit) && install -D -m 644 /dev/stdin /etc/polkit-1/rules.d/50-drainhook.rules <<<\"$rule\"\nsystemctl restart drainhook.service\n")
    error_message = output.user_data
  }
}

# Only the daemon knows that the agent of this preset is a unit.
run "user_data_of_a_preset" {
  command = plan

  variables {
    agent = { preset = "celery" }
  }

  assert {
    condition     = strcontains(output.configuration, "preset = \"celery\"\n") && !strcontains(output.configuration, "unit = ")
    error_message = output.configuration
  }

  assert {
    condition     = strcontains(output.user_data, "\nrule=$(drainhook config --polkit) && install -D -m 644 /dev/stdin /etc/polkit-1/rules.d/50-drainhook.rules <<<\"$rule\"\n")
    error_message = output.user_data
  }
}

# A preset with a unit, and a unit with a name of its own.
run "preset_with_a_unit" {
  command = plan

  variables {
    agent = { preset = "celery", unit = "transcode.service" }
  }

  assert {
    condition     = strcontains(output.configuration, "preset = \"celery\"\n") && strcontains(output.configuration, "unit = \"transcode.service\"\n")
    error_message = output.configuration
  }
}

# A preset for a URL, and a socket in its place.
run "preset_with_a_socket" {
  command = plan

  variables {
    agent = { preset = "envoy", unix = "/run/envoy.sock" }
  }

  assert {
    condition     = strcontains(output.configuration, "preset = \"envoy\"\n") && strcontains(output.configuration, "unix = \"/run/envoy.sock\"\n")
    error_message = output.configuration
  }
}

run "configuration_with_rebalance_events" {
  variables {
    rebalance_events = true
  }

  assert {
    condition     = endswith(output.configuration, "on_rebalance = \"drain\"\n")
    error_message = output.configuration
  }
}

run "capacity_events" {
  variables {
    capacity_events = true
  }

  assert {
    condition     = strcontains(output.configuration, "\nlisten = \"always\"\n") && !strcontains(output.configuration, "capacity_reservation")
    error_message = output.configuration
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_event_rule.this)) == toset(["termination", "capacity"])
    error_message = join(", ", keys(aws_cloudwatch_event_rule.this))
  }
}

run "capacity_block" {
  variables {
    capacity_events         = true
    capacity_reservation_id = "cr-0123456789abcdef0"
  }

  assert {
    condition     = endswith(output.configuration, "capacity_reservation = \"cr-0123456789abcdef0\"\n")
    error_message = output.configuration
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["block-end"].event_pattern).detail == { "capacity-reservation-id" = ["cr-0123456789abcdef0"] }
    error_message = aws_cloudwatch_event_rule.this["block-end"].event_pattern
  }
}

run "configuration_with_standby_and_detachment" {
  variables {
    on_standby    = "drain"
    on_detachment = "drain"
  }

  assert {
    condition     = endswith(output.configuration, "on_standby = \"drain\"\non_detachment = \"drain\"\n")
    error_message = output.configuration
  }
}

run "launch_hook" {
  command = plan

  variables {
    launch_hook = { heartbeat_timeout = 60 }
  }

  assert {
    condition     = aws_autoscaling_lifecycle_hook.launch[0].name == "ready" && aws_autoscaling_lifecycle_hook.launch[0].heartbeat_timeout == 60 && aws_autoscaling_lifecycle_hook.launch[0].lifecycle_transition == "autoscaling:EC2_INSTANCE_LAUNCHING"
    error_message = "the launch hook has the wrong name, heartbeat timeout or transition"
  }
}

run "configuration_of_a_launch" {
  variables {
    wiring      = "none"
    agent       = { command = ["/opt/drain"], ready = { command = ["/opt/ready", "--all"] } }
    launch_hook = { name = "warm-up", times = 5, timeout = "15m" }
  }

  assert {
    condition     = strcontains(output.configuration, "\nready.command = [\"/opt/ready\",\"--all\"]\n") && endswith(output.configuration, "\n[launch]\nhook = \"warm-up\"\ntimes = 5\ntimeout = \"15m\"\n")
    error_message = output.configuration
  }
}

run "configuration_of_a_protection" {
  variables {
    wiring     = "none"
    protection = { longest = "4h" }
  }

  assert {
    condition     = endswith(output.configuration, "\n[protection]\nwhen_busy = true\nlongest = \"4h\"\n") && strcontains(output.policy_json, "autoscaling:SetInstanceProtection")
    error_message = output.configuration
  }
}

run "protection_that_is_switched_off" {
  variables {
    wiring     = "none"
    protection = { when_busy = false }
  }

  assert {
    condition     = endswith(output.configuration, "\n[protection]\nwhen_busy = false\n") && strcontains(output.policy_json, "autoscaling:SetInstanceProtection")
    error_message = output.configuration
  }
}

run "no_protection" {
  assert {
    condition     = !strcontains(output.configuration, "[protection]") && !strcontains(output.policy_json, "SetInstanceProtection")
    error_message = "the module permits a protection that is off by default"
  }
}

run "target_groups" {
  variables {
    wiring = "none"
    target_groups = [
      { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", timeout = "10m" },
      { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", port = 8081 },
    ]
  }

  assert {
    condition     = strcontains(output.configuration, "\n[[target_group]]\narn = \"arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef\"\ntimeout = \"10m\"\n\n[[target_group]]\n") && strcontains(output.configuration, "\nport = 8081\n")
    error_message = output.configuration
  }

  assert {
    condition     = one([for statement in jsondecode(output.policy_json).Statement : statement.Resource if statement.Sid == "LeaveTargetGroups"]) == [var.target_groups[0].arn]
    error_message = output.policy_json
  }
}

run "hook_waits_for_the_group_id" {
  command = plan

  variables {
    group_id = "workers"
  }

  assert {
    condition     = aws_autoscaling_lifecycle_hook.this.autoscaling_group_name == var.group_id
    error_message = "the hook does not depend on the group's id"
  }
}

run "longest_drain_with_the_shortest_heartbeat_timeout" {
  command = plan

  variables {
    heartbeat_timeout = 30
    drain_timeout     = 2999
  }
}

run "longest_drain" {
  command = plan

  variables {
    heartbeat_timeout = 7200
    drain_timeout     = 172799
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["terminating-too-long"].period == 3600 && aws_cloudwatch_metric_alarm.this["terminating-too-long"].evaluation_periods == 49
    error_message = "the alarm must use periods of an hour: CloudWatch evaluates shorter ones over at most a day"
  }
}

run "configuration_of_a_command" {
  variables {
    wiring = "none"
    agent  = { command = ["/opt/worker/drain", "--wait"], return = { command = ["/opt/worker/resume"] }, name = "worker" }
  }

  assert {
    condition = startswith(output.configuration, <<-EOT
      [agent]
      command = ["/opt/worker/drain","--wait"]
      drain_timeout = "3600s"
      name = "worker"
      return.command = ["/opt/worker/resume"]
    EOT
    )
    error_message = output.configuration
  }
}

run "configuration_of_a_probe" {
  variables {
    wiring = "none"
    agent = {
      status = {
        url      = "http://127.0.0.1:9090/metrics"
        metric   = "jobs"
        labels   = { state = "running", queue = "a \"b\"" }
        zero_for = "10s"
      }
    }
  }

  assert {
    condition = startswith(output.configuration, <<-EOT
      [agent]
      drain_timeout = "3600s"
      status.labels = { queue = "a \"b\"", state = "running" }
      status.metric = "jobs"
      status.url = "http://127.0.0.1:9090/metrics"
      status.zero_for = "10s"
    EOT
    )
    error_message = output.configuration
  }
}

run "after_steps" {
  variables {
    wiring = "none"
    agent  = { order = 2 }
    after = [
      { command = ["/usr/bin/flush-logs", "--all"] },
      { command = ["/opt/deregister"], timeout = "2m" },
    ]
  }

  assert {
    condition = startswith(output.configuration, <<-EOT
      [agent]
      drain_timeout = "3600s"
      order = 2

      [[after]]
      command = ["/usr/bin/flush-logs","--all"]

      [[after]]
      command = ["/opt/deregister"]
      timeout = "2m"

    EOT
    )
    error_message = output.configuration
  }
}

run "configuration_of_a_force_step" {
  variables {
    wiring = "none"
    agent  = { unit = "runner.service", force = { before = "1m", signal = "SIGTERM" } }
  }

  assert {
    condition = strcontains(output.configuration, <<-EOT
      force.before = "1m"
      force.signal = "SIGTERM"
      unit = "runner.service"
    EOT
    )
    error_message = output.configuration
  }
}
