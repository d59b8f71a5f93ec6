# Values that the module refuses before it creates anything. Each run has one mistake per variable in expect_failures. The module
# must refuse every one.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  group_name = "workers"
}

run "too_small" {
  command = plan

  variables {
    group_name                = ""
    group_id                  = ""
    hook_name                 = ""
    heartbeat_timeout         = 29
    launch_hook               = { heartbeat_timeout = 29 }
    drain_timeout             = 0
    terminating_alarm_minutes = 0
    runbook_url               = ""
    tags                      = { "" = "empty" }
    agent                     = { unreachable_grace = "60" }
    after                     = [{ command = ["flush"] }]
  }

  expect_failures = [
    var.group_name, var.group_id, var.hook_name, var.heartbeat_timeout, var.launch_hook, var.drain_timeout,
    var.terminating_alarm_minutes, var.runbook_url, var.tags, var.agent, var.after,
  ]
}

run "too_large" {
  command = plan

  variables {
    group_name                = join("", [for _ in range(256) : "w"])
    heartbeat_timeout         = 7201
    notification_metadata     = join("", [for _ in range(1024) : "m"])
    launch_hook               = { heartbeat_timeout = 7201 }
    drain_timeout             = 172800
    terminating_alarm_minutes = 10081
    agent                     = { url = "http://127.0.0.1:8080", unix = "/run/worker.sock" }
    after                     = [for _ in range(9) : { command = ["/bin/flush"] }]
  }

  expect_failures = [
    var.group_name, var.heartbeat_timeout, var.notification_metadata, var.launch_hook, var.drain_timeout,
    var.terminating_alarm_minutes, var.agent, var.after,
  ]
}

run "not_one_of_the_permitted_values" {
  command = plan

  variables {
    heartbeat_timeout         = 30.5
    default_result            = "continue"
    launch_hook               = { default_result = "RETRY" }
    drain_timeout             = 90.5
    drain_at                  = "later"
    on_standby                = "wait"
    on_detachment             = "wait"
    wiring                    = "lambda"
    terminating_alarm_minutes = 1.5
    agent                     = { order = 17 }
    after                     = [{ command = ["/bin/flush"], timeout = "30" }]
  }

  expect_failures = [
    var.heartbeat_timeout, var.default_result, var.launch_hook, var.drain_timeout, var.drain_at, var.on_standby,
    var.on_detachment, var.wiring, var.terminating_alarm_minutes, var.agent, var.after,
  ]
}

run "malformed" {
  command = plan

  variables {
    group_name    = "work*"
    hook_name     = "my drain"
    launch_hook   = { name = "a b" }
    kms_key_arn   = "alias/aws/sqs"
    role_name     = "arn:aws:iam::123456789012:role/workers"
    alarm_actions = ["pager"]
    runbook_url   = "https://example.org/runbook#part"
    tags          = { "aws:owner" = "us" }
    agent         = { url = "https://127.0.0.1:8080" }
  }

  expect_failures = [
    var.group_name, var.hook_name, var.launch_hook, var.kms_key_arn, var.role_name, var.alarm_actions, var.runbook_url,
    var.tags, var.agent,
  ]
}

run "agent_with_a_relative_path" {
  command = plan

  variables {
    agent = { drain = { path = "drain" } }
  }

  expect_failures = [var.agent]
}

run "agent_with_an_unknown_exit" {
  command = plan

  variables {
    agent = { on_exit = "ok" }
  }

  expect_failures = [var.agent]
}

run "agent_with_an_unknown_method" {
  command = plan

  variables {
    agent = { drain = { method = "HEAD" } }
  }

  expect_failures = [var.agent]
}

run "agent_with_an_unknown_return_method" {
  command = plan

  variables {
    agent = { return = { method = "delete" } }
  }

  expect_failures = [var.agent]
}

run "agent_with_a_success_code_that_is_none" {
  command = plan

  variables {
    agent = { drain = { success = [200] } }
  }

  expect_failures = [var.agent]
}

run "agent_with_an_unknown_placeholder" {
  command = plan

  variables {
    agent = { drain = { body = "{\"region\": \"{region}\"}" } }
  }

  expect_failures = [var.agent]
}

run "return_request_with_a_reason" {
  command = plan

  variables {
    agent = { return = { method = "POST", body = "{reason}" } }
  }

  expect_failures = [var.agent]
}

run "agent_with_a_header_that_is_no_text" {
  command = plan

  variables {
    agent = { headers = { X-Key = { path = "/etc/key" } } }
  }

  expect_failures = [var.agent]
}

run "agent_with_a_reserved_header" {
  command = plan

  variables {
    agent = { headers = { host = "worker" } }
  }

  expect_failures = [var.agent]
}

run "command_with_headers" {
  command = plan

  variables {
    agent = { command = ["/opt/drain"], headers = { X-Team = "blue" } }
  }

  expect_failures = [var.agent]
}

run "drain_timeout_longer_than_the_action_can_last" {
  command = plan

  variables {
    heartbeat_timeout = 30
    drain_timeout     = 3000
  }

  expect_failures = [aws_autoscaling_lifecycle_hook.this]
}

run "events_without_a_queue" {
  command = plan

  variables {
    wiring      = "none"
    spot_events = true
  }

  expect_failures = [aws_autoscaling_lifecycle_hook.this]
}

run "capacity_events_without_a_queue" {
  command = plan

  variables {
    wiring          = "none"
    capacity_events = true
  }

  expect_failures = [aws_autoscaling_lifecycle_hook.this]
}

run "capacity_reservation_without_its_events" {
  command = plan

  variables {
    capacity_reservation_id = "cr-0123456789abcdef0"
  }

  expect_failures = [aws_autoscaling_lifecycle_hook.this]
}

run "capacity_reservation_of_another_kind" {
  command = plan

  variables {
    capacity_events         = true
    capacity_reservation_id = "i-0123456789abcdef0"
  }

  expect_failures = [var.capacity_reservation_id]
}

run "agent_of_two_kinds" {
  command = plan

  variables {
    agent = { url = "http://127.0.0.1:8080", command = ["/opt/drain"] }
  }

  expect_failures = [var.agent]
}

run "preset_of_another_kind" {
  command = plan

  variables {
    agent = { preset = "celery", command = ["/opt/drain"] }
  }

  expect_failures = [var.agent]
}

run "preset_that_needs_another_kind" {
  command = plan

  variables {
    agent = { preset = "github-runner", url = "http://127.0.0.1:8080" }
  }

  expect_failures = [var.agent]
}

run "command_with_a_relative_path" {
  command = plan

  variables {
    agent = { command = ["drain"] }
  }

  expect_failures = [var.agent]
}

run "command_with_a_key_of_an_http_agent" {
  command = plan

  variables {
    agent = { command = ["/opt/drain"], poll = "1s" }
  }

  expect_failures = [var.agent]
}

run "probe_of_two_kinds" {
  command = plan

  variables {
    agent = { status = { pointer = "/jobs", metric = "jobs" } }
  }

  expect_failures = [var.agent]
}

run "probe_of_a_command_without_a_time" {
  command = plan

  variables {
    agent = { command = ["/opt/drain"], status = { processes = "worker" } }
  }

  expect_failures = [var.agent]
}

run "time_without_a_probe" {
  command = plan

  variables {
    agent = { status = { zero_for = "10s" } }
  }

  expect_failures = [var.agent]
}

run "labels_without_a_metric" {
  command = plan

  variables {
    agent = { status = { pointer = "/jobs", labels = { queue = "default" } } }
  }

  expect_failures = [var.agent]
}

run "return_command_without_a_command" {
  command = plan

  variables {
    agent = { return = { command = ["/opt/back"] } }
  }

  expect_failures = [var.agent]
}

run "user_without_a_socket" {
  command = plan

  variables {
    agent = { user = "worker" }
  }

  expect_failures = [var.agent]
}

run "allowed_host_of_a_socket" {
  command = plan

  variables {
    agent = { unix = "/run/a.sock", allow_host = "a" }
  }

  expect_failures = [var.agent]
}

run "signal_without_a_unit" {
  command = plan

  variables {
    agent = { drain = { signal = "SIGQUIT" } }
  }

  expect_failures = [var.agent]
}

run "unit_told_in_two_ways" {
  command = plan

  variables {
    agent = { unit = "worker.service", drain = { signal = "SIGQUIT", start = "worker-drain.service" } }
  }

  expect_failures = [var.agent]
}

run "unit_without_its_suffix" {
  command = plan

  variables {
    agent = { unit = "worker" }
  }

  expect_failures = [var.agent]
}

run "unit_with_a_key_of_an_http_agent" {
  command = plan

  variables {
    agent = { unit = "worker.service", on_exit = "drained" }
  }

  expect_failures = [var.agent]
}

run "two_ways_to_be_ready" {
  command = plan

  variables {
    agent = { ready = { path = "/up", command = ["/opt/ready"] } }
  }

  expect_failures = [var.agent]
}

run "launch_of_an_agent_that_nothing_shows_ready" {
  command = plan

  variables {
    agent       = { command = ["/opt/drain"] }
    launch_hook = {}
  }

  expect_failures = [aws_autoscaling_lifecycle_hook.launch]
}

# The preset sets the command.
run "launch_of_a_preset_that_nothing_shows_ready" {
  command = plan

  variables {
    agent       = { preset = "nomad-client" }
    launch_hook = {}
  }

  expect_failures = [aws_autoscaling_lifecycle_hook.launch]
}

run "one_name_for_both_hooks" {
  command = plan

  variables {
    launch_hook = { name = "drain" }
  }

  expect_failures = [aws_autoscaling_lifecycle_hook.launch]
}

run "times_of_a_protection" {
  command = plan

  variables {
    protection = { busy_for = "soon" }
  }

  expect_failures = [var.protection]
}

run "protection_of_a_silent_agent" {
  command = plan

  variables {
    agent      = { unit = "worker.service" }
    protection = {}
  }

  expect_failures = [aws_autoscaling_lifecycle_hook.this]
}

run "target_group_without_an_arn" {
  command = plan

  variables {
    target_groups = [{ arn = "web" }]
  }

  expect_failures = [var.target_groups]
}

run "port_of_a_target_group" {
  command = plan

  variables {
    target_groups = [{ arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", port = 0 }]
  }

  expect_failures = [var.target_groups]
}

run "target_of_a_target_group" {
  command = plan

  variables {
    target_groups = [{ arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", target = "worker" }]
  }

  expect_failures = [var.target_groups]
}

run "timeout_of_a_target_group" {
  command = plan

  variables {
    target_groups = [{ arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", timeout = "soon" }]
  }

  expect_failures = [var.target_groups]
}

run "two_equal_target_groups" {
  command = plan

  variables {
    target_groups = [
      { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef" },
      { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef" },
    ]
  }

  expect_failures = [var.target_groups]
}

run "too_many_target_groups" {
  command = plan

  variables {
    target_groups = [for port in range(1, 18) : { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", port = port }]
  }

  expect_failures = [var.target_groups]
}

run "times_and_timeout_of_a_launch" {
  command = plan

  variables {
    launch_hook = { times = 61, timeout = "soon" }
  }

  expect_failures = [var.launch_hook]
}

run "two_force_steps" {
  command = plan

  variables {
    agent = { force = { path = "/abort", command = ["/opt/abort"] } }
  }

  expect_failures = [var.agent]
}

run "force_signal_without_a_unit" {
  command = plan

  variables {
    agent = { force = { signal = "SIGTERM" } }
  }

  expect_failures = [var.agent]
}

run "force_request_of_a_command" {
  command = plan

  variables {
    agent = { command = ["/opt/drain"], force = { path = "/abort" } }
  }

  expect_failures = [var.agent]
}
