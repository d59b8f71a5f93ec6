data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_region" "this" {}

locals {
  # Fits what SQS, EventBridge and IAM take for a name, with the longest suffix; no two groups get the same.
  slug = replace(var.group_name, "/[^A-Za-z0-9_-]/", "-")
  name = local.slug == var.group_name && length(local.slug) <= 36 ? local.slug : "${substr(local.slug, 0, 27)}-${substr(sha256(var.group_name), 0, 8)}"

  # The id is the Region's name in every version of the provider.
  region  = data.aws_region.this.id
  account = data.aws_caller_identity.this.account_id
  aws     = "arn:${data.aws_partition.this.partition}"

  # Names are unique in an account and Region, so this is the group. (A data source would look for it while it may still
  # have to be made.)
  group_arn = "${local.aws}:autoscaling:${local.region}:${local.account}:autoScalingGroup:*:autoScalingGroupName/${var.group_name}"

  queued = var.wiring != "none"

  # For so long Auto Scaling keeps an action at most (PutLifecycleHook's documentation).
  global_timeout = min(100 * var.heartbeat_timeout, 172800)
}

# The provider updates a hook in place where that cannot be right: for another group it would put a second hook there and
# leave this one, and AWS keeps a target and a role that a hook no longer names. So these changes replace it.
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

  # The way of the messages comes first: what happens before there is one is not told later.
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
      error_message = "The drain_timeout is ${var.drain_timeout} s, but with a heartbeat_timeout of ${var.heartbeat_timeout} s the hook is kept alive for ${local.global_timeout} s at most (100 heartbeat timeouts, and 48 hours): lower drain_timeout below that, or raise heartbeat_timeout to ${floor(var.drain_timeout / 100) + 1}."
    }

    precondition {
      condition     = local.queued || !(var.spot_events || var.rebalance_events)
      error_message = "The events of spot_events and rebalance_events need a queue: set wiring to something other than none."
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
  }
}

# One queue for each group: others' messages have to be received and given back, which costs time and requests. It has no
# dead-letter queue of its own, as those receives count against maxReceiveCount and would fill it with good messages.
resource "aws_sqs_queue" "this" {
  count = local.queued ? 1 : 0

  name                              = "${local.name}-termination"
  message_retention_seconds         = 3600 # removes what no daemon claims: daemons never delete another's message
  visibility_timeout_seconds        = 20   # what the daemon asks for with each receive, until it knows whose a message is
  receive_wait_time_seconds         = 20
  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : 300
  tags                              = var.tags
}

# What EventBridge or SNS could not deliver to the queue: its policy or its key was changed, most likely.
resource "aws_sqs_queue" "dead_letter" {
  count = var.wiring == "sns" || length(local.patterns) > 0 ? 1 : 0

  name                              = "${local.name}-termination-dead-letter"
  message_retention_seconds         = 1209600 # time for an operator to look
  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : 300
  tags                              = var.tags
}
