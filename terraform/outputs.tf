locals {
  agent_tables = { drain = var.agent.drain, status = var.agent.status, return = var.agent.return, force = var.agent.force, ready = var.agent.ready }
  agent_settings = merge(
    { for key, value in var.agent : key => value if key != "headers" && !contains(keys(local.agent_tables), key) },
    { for name, value in var.agent.headers : "headers.${jsonencode(name)}${can(value.file) ? ".file" : ""}" => try(value.file, value) },
    { drain_timeout = "${var.drain_timeout}s" },
    [for table, settings in local.agent_tables : { for key, value in settings : "${table}.${key}" => value }]...
  )
  # JSON and TOML write strings, lists of strings, numbers and booleans alike, but not tables.
  agent_labels = join(", ", [for name, value in coalesce(var.agent.status.labels, {}) : "${name} = ${jsonencode(value)}"])
  agent_lines = [
    for key, value in local.agent_settings :
    "${key} = ${key == "status.labels" ? "{ ${local.agent_labels} }" : jsonencode(value)}" if value != null
  ]

  # What the daemon may do to the unit. polkit reads the folder again when a file in it changes. Only the daemon knows whether
  # the agent of a preset is a unit. If it is not, the file has no rule, which polkit accepts. If the daemon refuses the
  # configuration, no file is written.
  polkit_rule = var.agent.unit == null && var.agent.preset == null ? "" : "rule=$(drainhook config --polkit) && install -D -m 644 /dev/stdin /etc/polkit-1/rules.d/50-drainhook.rules <<<\"$rule\"\n"

  after_lines = [
    for step in var.after : join("\n", concat(
      ["\n[[after]]"],
      [for key, value in step : "${key} = ${jsonencode(value)}" if value != null],
    ))
  ]

  target_group_lines = [
    for group in var.target_groups : join("\n", concat(
      ["\n[[target_group]]"],
      [for key, value in group : "${key} = ${jsonencode(value)}" if value != null],
    ))
  ]

  launch_lines = var.launch_hook == null ? [] : concat(
    ["\n[launch]", "hook = ${jsonencode(var.launch_hook.name)}"],
    [for key in ["times", "timeout"] : "${key} = ${jsonencode(var.launch_hook[key])}" if var.launch_hook[key] != null],
  )

  protection_lines = var.protection == null ? [] : concat(
    ["\n[protection]", "when_busy = ${var.protection.when_busy}"],
    [for key in ["busy_for", "idle_for", "longest"] : "${key} = ${jsonencode(var.protection[key])}" if var.protection[key] != null],
  )

  configuration = join("\n", concat(
    ["[agent]"],
    local.agent_lines,
    local.after_lines,
    local.target_group_lines,
    [for queue in aws_sqs_queue.this : "\n[queue]\nurl = ${jsonencode(queue.url)}"],
    [for listens in [var.capacity_events] : "listen = \"always\"" if listens],
    [
      "",
      "[lifecycle]",
      "hook = ${jsonencode(var.hook_name)}",
      "group = ${jsonencode(var.group_name)}",
      "drain_at = ${jsonencode(var.drain_at)}",
      "heartbeat_timeout = \"${var.heartbeat_timeout}s\"",
    ],
    # Without these, the daemon ignores the recommendations that the rule sends, standby and detachments.
    [for drain in [var.rebalance_events] : "on_rebalance = \"drain\"" if drain],
    [for value in [var.on_standby] : "on_standby = \"drain\"" if value == "drain"],
    [for value in [var.on_detachment] : "on_detachment = \"drain\"" if value == "drain"],
    [for id in [var.capacity_reservation_id] : "capacity_reservation = ${jsonencode(id)}" if id != null],
    local.launch_lines,
    local.protection_lines,
    [""],
  ))
}

output "queue_url" {
  description = "The URL of the termination queue. Null without a queue."
  value       = one(aws_sqs_queue.this[*].url)
}

output "queue_arn" {
  description = "The ARN of the termination queue. Null without a queue."
  value       = one(aws_sqs_queue.this[*].arn)
}

output "dead_letter_queue_url" {
  description = "The URL of the queue for messages that EventBridge or SNS could not deliver. Null if the module uses neither."
  value       = one(aws_sqs_queue.dead_letter[*].url)
}

output "hook_name" {
  description = "The name of the termination hook. Known once the hook exists."
  value       = aws_autoscaling_lifecycle_hook.this.name
}

output "rule_arn" {
  description = "The ARN of the rule that sends the hook's events to the queue. Null with another wiring."
  value       = try(aws_cloudwatch_event_rule.this["termination"].arn, null)
}

output "policy_json" {
  description = "The policy that the instances' role needs, as JSON."
  value       = local.policy
}

output "policy_arn" {
  description = "The ARN of the policy. Null without `role_name`."
  value       = one(aws_iam_policy.this[*].arn)
}

output "configuration" {
  description = "The text of `/etc/drainhook/drainhook.toml`."
  value       = local.configuration
}

output "user_data" {
  description = "A shell script for an image that has the package. It writes the configuration and restarts the daemon with it."
  value       = <<-EOT
    #!/bin/bash
    cat >/etc/drainhook/drainhook.toml <<'END'
    ${local.configuration}END
    ${local.polkit_rule}systemctl restart drainhook.service
  EOT
}

output "alarm_arns" {
  description = "The ARNs of the alarms."
  value       = local.alarm_arns
}

output "dashboard_name" {
  description = "The name of the dashboard. Null without a dashboard."
  value       = one(aws_cloudwatch_dashboard.this[*].dashboard_name)
}
