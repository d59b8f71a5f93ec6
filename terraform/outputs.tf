locals {
  # Texts, numbers and truths are written alike in JSON and TOML.
  agent_lines = [for key, value in merge(var.agent, { drain_timeout = "${var.drain_timeout}s" }) : "${key} = ${jsonencode(value)}" if value != null]

  configuration = join("\n", concat(
    ["[agent]"],
    local.agent_lines,
    [for queue in aws_sqs_queue.this : "\n[queue]\nurl = ${jsonencode(queue.url)}"],
    [
      "",
      "[lifecycle]",
      "hook = ${jsonencode(var.hook_name)}",
      "group = ${jsonencode(var.group_name)}",
      "drain_at = ${jsonencode(var.drain_at)}",
      "heartbeat_timeout = \"${var.heartbeat_timeout}s\"",
    ],
    # Without it the daemon ignores what the rule sends.
    [for drain in [var.rebalance_events] : "on_rebalance = \"drain\"" if drain],
    [""],
  ))
}

output "queue_url" {
  description = "The URL of the termination queue; null without one."
  value       = one(aws_sqs_queue.this[*].url)
}

output "queue_arn" {
  description = "The ARN of the termination queue; null without one."
  value       = one(aws_sqs_queue.this[*].arn)
}

output "dead_letter_queue_url" {
  description = "The URL of the queue for what EventBridge or SNS could not deliver; null where neither sends."
  value       = one(aws_sqs_queue.dead_letter[*].url)
}

output "hook_name" {
  description = "The name of the termination hook, known when it exists."
  value       = aws_autoscaling_lifecycle_hook.this.name
}

output "rule_arn" {
  description = "The ARN of the rule that sends the hook's events to the queue; null with another wiring."
  value       = try(aws_cloudwatch_event_rule.this["termination"].arn, null)
}

output "policy_json" {
  description = "The policy that the instances' role needs."
  value       = local.policy
}

output "policy_arn" {
  description = "The ARN of the policy, where `role_name` is given; else null."
  value       = one(aws_iam_policy.this[*].arn)
}

output "configuration" {
  description = "The text of `/etc/drainhook/drainhook.toml`."
  value       = local.configuration
}

output "user_data" {
  description = "A shell script for an image that has the package: writes the configuration and starts the daemon with it."
  value       = <<-EOT
    #!/bin/bash
    cat >/etc/drainhook/drainhook.toml <<'END'
    ${local.configuration}END
    systemctl restart drainhook.service
  EOT
}

output "alarm_arns" {
  description = "The ARNs of the alarms."
  value       = local.alarm_arns
}

output "dashboard_name" {
  description = "The name of the dashboard; null without one."
  value       = one(aws_cloudwatch_dashboard.this[*].dashboard_name)
}
