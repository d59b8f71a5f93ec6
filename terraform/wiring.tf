# How messages reach the queue: by rules, by the hook itself or by a topic.

locals {
  # Events about spot instances and reserved capacity name an instance but no group, so a pattern cannot select a group's own.
  patterns = { for key, pattern in {
    termination = {
      source      = ["aws.autoscaling"]
      detail-type = ["EC2 Instance-terminate Lifecycle Action"]
      detail = {
        AutoScalingGroupName = [var.group_name]
        LifecycleHookName    = [var.hook_name] # the daemons ignore messages of other hooks
      }
    }
    spot      = { source = ["aws.ec2"], detail-type = ["EC2 Spot Instance Interruption Warning"] }
    rebalance = { source = ["aws.ec2"], detail-type = ["EC2 Instance Rebalance Recommendation"] }
    # The user guide has had two names for each of these events.
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitor-interruptible-cr.html
    capacity = {
      source = ["aws.ec2"]
      detail-type = [
        "EC2 Capacity Reservation Instance Interruption Warning",
        "EC2 Interruptible Capacity Reservation Instance Interruption Warning",
      ]
    }
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/capacity-blocks-monitor.html
    block-end = {
      source      = ["aws.ec2"]
      detail-type = ["Capacity Block Expiration Warning", "Capacity Block Reservation Expiration Warning"]
      detail      = { capacity-reservation-id = [var.capacity_reservation_id] }
    }
  } : key => jsonencode(pattern) if local.wanted[key] }

  wanted = {
    termination = var.wiring == "eventbridge"
    spot        = local.queued && var.spot_events
    rebalance   = local.queued && var.rebalance_events
    capacity    = local.queued && var.capacity_events
    block-end   = local.queued && var.capacity_events && var.capacity_reservation_id != null
  }

  rule_arns  = [for rule in aws_cloudwatch_event_rule.this : rule.arn]
  topic_arns = aws_sns_topic.this[*].arn

  # A forged message can drain an instance, so no other principal may send. The Deny also stops identities of the account that
  # have permissions of their own. Negated condition operators match if the key is absent.
  # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sqs-permissions
  senders = concat(
    length(local.rule_arns) == 0 ? [] : [{
      Sid       = "Rules"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Condition = { ArnEquals = { "aws:SourceArn" = local.rule_arns } }
    }],
    length(local.topic_arns) == 0 ? [] : [{
      Sid       = "Topic"
      Effect    = "Allow"
      Principal = { Service = "sns.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Condition = { ArnEquals = { "aws:SourceArn" = local.topic_arns } }
    }],
  )

  only_senders = {
    Sid       = "NobodyElse"
    Effect    = "Deny"
    Principal = "*"
    Action    = "sqs:SendMessage"
    Condition = {
      ArnNotEquals = merge(
        length(local.senders) == 0 ? {} : { "aws:SourceArn" = concat(local.rule_arns, local.topic_arns) },
        var.wiring != "direct" ? {} : { "aws:PrincipalArn" = aws_iam_role.this[*].arn },
      )
    }
  }

  only_tls = {
    Sid       = "OnlyTls"
    Effect    = "Deny"
    Principal = "*"
    Action    = "sqs:*"
    Condition = { Bool = { "aws:SecureTransport" = "false" } }
  }
}

resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.patterns

  name          = "${local.name}-${each.key}"
  description   = "Sends events to the termination queue of the Auto Scaling group ${var.group_name}."
  event_pattern = each.value
  tags          = var.tags
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = aws_cloudwatch_event_rule.this

  rule = each.value.name
  arn  = aws_sqs_queue.this[0].arn

  dead_letter_config {
    arn = aws_sqs_queue.dead_letter[0].arn
  }

  # An hour, as long as the queue would keep the message.
  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 185
  }

  depends_on = [aws_sqs_queue_policy.this, aws_sqs_queue_policy.dead_letter]
}

resource "aws_sqs_queue_policy" "this" {
  count = local.queued ? 1 : 0

  queue_url = aws_sqs_queue.this[0].url
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [for statement in concat(local.senders, [local.only_senders, local.only_tls]) : merge(statement, { Resource = aws_sqs_queue.this[0].arn })]
  })
}

resource "aws_sqs_queue_policy" "dead_letter" {
  count = length(aws_sqs_queue.dead_letter)

  queue_url = aws_sqs_queue.dead_letter[0].url
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [for statement in concat(local.senders, [local.only_tls]) : merge(statement, { Resource = aws_sqs_queue.dead_letter[0].arn })]
  })
}

resource "aws_sns_topic" "this" {
  count = var.wiring == "sns" ? 1 : 0

  name              = "${local.name}-termination"
  kms_master_key_id = coalesce(var.kms_key_arn, "alias/aws/sns")
  tags              = var.tags
}

resource "aws_sns_topic_subscription" "this" {
  count = var.wiring == "sns" ? 1 : 0

  topic_arn            = aws_sns_topic.this[0].arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.this[0].arn
  raw_message_delivery = true
  redrive_policy       = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead_letter[0].arn })

  depends_on = [aws_sqs_queue_policy.this, aws_sqs_queue_policy.dead_letter]
}

# Auto Scaling assumes this role to send the hook's messages.
resource "aws_iam_role" "this" {
  count = contains(["direct", "sns"], var.wiring) ? 1 : 0

  name        = "${local.name}-hook-${local.region}"
  description = "Lets Auto Scaling send the messages of the hook ${var.hook_name} of the group ${var.group_name}."
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "autoscaling.amazonaws.com" }
      Action    = "sts:AssumeRole"
      # https://docs.aws.amazon.com/autoscaling/ec2/userguide/cross-service-confused-deputy-prevention.html
      Condition = {
        ArnLike      = { "aws:SourceArn" = local.group_arn }
        StringEquals = { "aws:SourceAccount" = local.account }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  count = length(aws_iam_role.this)

  name = "send"
  role = aws_iam_role.this[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      # Without GetQueueUrl, PutLifecycleHook refuses the queue.
      var.wiring == "direct" ? [{ Effect = "Allow", Action = ["sqs:SendMessage", "sqs:GetQueueUrl"], Resource = aws_sqs_queue.this[0].arn }] : [],
      var.wiring == "sns" ? [{ Effect = "Allow", Action = ["sns:Publish"], Resource = aws_sns_topic.this[0].arn }] : [],
      var.kms_key_arn == null ? [] : [{ Effect = "Allow", Action = ["kms:GenerateDataKey", "kms:Decrypt"], Resource = var.kms_key_arn }],
    )
  })
}
