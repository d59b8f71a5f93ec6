data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_region" "this" {}

locals {
  # With the longest suffix, this fits the name limits of SQS, EventBridge and IAM. No two groups get the same name.
  slug = replace(var.group_name, "/[^A-Za-z0-9_-]/", "-")
  name = local.slug == var.group_name && length(local.slug) <= 36 ? local.slug : "${substr(local.slug, 0, 27)}-${substr(sha256(var.group_name), 0, 8)}"

  # In every version of the provider, the id is the Region's name.
  region  = data.aws_region.this.id
  account = data.aws_caller_identity.this.account_id
  aws     = "arn:${data.aws_partition.this.partition}"

  # Names are unique in an account and Region, so this matches only the group. A data source would fail if the group does not
  # exist yet.
  group_arn = "${local.aws}:autoscaling:${local.region}:${local.account}:autoScalingGroup:*:autoScalingGroupName/${var.group_name}"

  # The presets that set the command. tests/tidy.rs compares this list with the presets.
  command_presets = ["ecs-instance", "kubernetes-node", "nomad-client"]
  has_command     = var.agent.command != null || try(contains(local.command_presets, var.agent.preset), false)

  # Whether nothing tells how much work the agent has while it serves.
  is_silent = alltrue([
    local.has_command || var.agent.unit != null || coalesce(var.agent.drain.blocks, false),
    alltrue([for key in ["pointer", "metric", "processes", "command"] : var.agent.status[key] == null]),
  ])

  queued = var.wiring != "none"

  # The longest that Auto Scaling keeps an action, as the documentation of PutLifecycleHook says.
  global_timeout = min(100 * var.heartbeat_timeout, 172800)
}

# The provider updates these in place, which is wrong for a hook. A new group would get a second hook while the old one stays,
# and AWS keeps a target and a role that a hook no longer names. So these changes replace the hook.
resource "terraform_data" "group" {
  input = var.group_name
}

resource "terraform_data" "notifies" {
  input = contains(["direct", "sns"], var.wiring)
}

resource "aws_autoscaling_lifecycle_hook" "this" {
  name                    = var.hook_name
  autoscaling_group_name  = coalesce(var.group_id, var.group_name)
  lifecycle_transition    = "autoscaling:EC2_INSTANCE_TERMINATING"
  heartbeat_timeout       = var.heartbeat_timeout
  default_result          = var.default_result
  notification_metadata   = var.notification_metadata == "" ? null : var.notification_metadata
  notification_target_arn = var.wiring == "direct" ? aws_sqs_queue.this[0].arn : var.wiring == "sns" ? aws_sns_topic.this[0].arn : null
  role_arn                = one(aws_iam_role.this[*].arn)

  # Create the messages' path first. A termination before it exists is never announced in the queue.
  depends_on = [
    aws_cloudwatch_event_target.this,
    aws_iam_role_policy.this,
    aws_sns_topic_subscription.this,
    aws_sqs_queue_policy.this,
  ]

  lifecycle {
    replace_triggered_by = [terraform_data.group, terraform_data.notifies]

    precondition {
      condition     = var.drain_timeout < local.global_timeout
      error_message = "The drain_timeout is ${var.drain_timeout} s, but with a heartbeat_timeout of ${var.heartbeat_timeout} s an action can be kept alive for at most ${local.global_timeout} s (100 heartbeat timeouts, at most 48 hours). Lower drain_timeout below that, or raise heartbeat_timeout to ${floor(var.drain_timeout / 100) + 1}."
    }

    precondition {
      condition     = local.queued || !(var.spot_events || var.rebalance_events || var.capacity_events)
      error_message = "spot_events, rebalance_events and capacity_events need a queue. Set wiring to something other than none."
    }

    precondition {
      condition     = var.capacity_events || var.capacity_reservation_id == null
      error_message = "The capacity_reservation_id has no effect without capacity_events. Set capacity_events to true."
    }

    # The daemon would refuse the configuration.
    precondition {
      condition     = var.protection == null || !local.is_silent
      error_message = "With protection, an agent with command or unit needs status.zero_for and one of status.processes, status.command, and status.url with status.pointer or status.metric. An agent with drain.blocks needs one of them, too, or drain.blocks = false."
    }
  }
}

resource "aws_autoscaling_lifecycle_hook" "launch" {
  count = var.launch_hook == null ? 0 : 1

  name                   = var.launch_hook.name
  autoscaling_group_name = coalesce(var.group_id, var.group_name)
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_LAUNCHING"
  heartbeat_timeout      = var.launch_hook.heartbeat_timeout
  default_result         = var.launch_hook.default_result

  lifecycle {
    replace_triggered_by = [terraform_data.group]

    precondition {
      condition     = var.launch_hook.name != var.hook_name
      error_message = "The launch_hook and the termination hook are both named ${var.hook_name}; rename one of them."
    }

    # The daemon would refuse the configuration.
    precondition {
      condition     = !local.has_command || var.agent.ready.command != null
      error_message = "With launch_hook, an agent that a command drains (command, or a preset that sets it) needs ready.command, which exits with 0 once the agent is ready."
    }
  }
}

# One queue for each group, because daemons must receive and return the messages of other instances, which costs time and
# requests. The queue has no redrive policy. Those receives count against maxReceiveCount and would move good messages to a
# dead-letter queue.
resource "aws_sqs_queue" "this" {
  count = local.queued ? 1 : 0

  name                              = "${local.name}-termination"
  message_retention_seconds         = 3600 # removes unclaimed messages: a daemon never deletes another instance's message
  visibility_timeout_seconds        = 20   # what the daemon sets with each receive, until it knows whose message it is
  receive_wait_time_seconds         = 20
  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : 300
  tags                              = var.tags
}

# Messages that EventBridge or SNS could not deliver, most likely because the queue's policy or key was changed.
resource "aws_sqs_queue" "dead_letter" {
  count = var.wiring == "sns" || length(local.patterns) > 0 ? 1 : 0

  name                              = "${local.name}-termination-dead-letter"
  message_retention_seconds         = 1209600 # two weeks, so that an operator has time to look
  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : 300
  tags                              = var.tags
}
