# An alarm on actions that timed out instead of being completed.
#
# AWS does not report timeouts: a termination whose action timed out looks like any other. AWS does report each finished
# termination and, if a trail records management events, each successful CompleteLifecycleAction. Two rules send these events to
# queues that nothing reads. Alarms can compare the queues' NumberOfMessagesSent.
#
# The comparison is coarse. A termination and its completion may fall into different windows, and events and metrics are
# best-effort. So the alarm ignores a single unfinished termination, and rates of 20 % or less. It also counts terminations that
# no completion could reach: spot instances that were gone before their two minutes, and instances terminated outside the group.

locals {
  counted = { for key, pattern in {
    terminated = {
      source      = ["aws.autoscaling"]
      detail-type = ["EC2 Instance Terminate Successful"]
      detail      = { AutoScalingGroupName = [var.group_name] }
    }
    completed = {
      source      = ["aws.autoscaling"]
      detail-type = ["AWS API Call via CloudTrail"]
      detail = {
        eventSource       = ["autoscaling.amazonaws.com"]
        eventName         = ["CompleteLifecycleAction"]
        errorCode         = [{ exists = false }]
        requestParameters = { autoScalingGroupName = [var.group_name], lifecycleHookName = [var.hook_name] }
      }
    }
  } : key => jsonencode(pattern) if var.completion_alarm }
}

resource "aws_cloudwatch_event_rule" "counted" {
  for_each = local.counted

  name          = "${local.name}-${each.key}"
  description   = "Counts events for the alarm on unfinished actions of the Auto Scaling group ${var.group_name}."
  event_pattern = each.value
  tags          = var.tags
}

resource "aws_cloudwatch_event_target" "counted" {
  for_each = aws_cloudwatch_event_rule.counted

  rule = each.value.name
  arn  = aws_sqs_queue.counted[each.key].arn

  depends_on = [aws_sqs_queue_policy.counted]
}

resource "aws_sqs_queue" "counted" {
  for_each = local.counted

  name                      = "${local.name}-${each.key}"
  message_retention_seconds = 60
  sqs_managed_sse_enabled   = true
  tags                      = var.tags
}

resource "aws_sqs_queue_policy" "counted" {
  for_each = aws_sqs_queue.counted

  queue_url = each.value.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      merge(local.only_tls, { Resource = each.value.arn }),
      {
        Sid       = "Rule"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = each.value.arn
        Condition = { ArnEquals = { "aws:SourceArn" = aws_cloudwatch_event_rule.counted[each.key].arn } }
      },
    ]
  })
}

resource "aws_cloudwatch_metric_alarm" "unfinished" {
  count = var.completion_alarm ? 1 : 0

  alarm_name          = "${local.name}-unfinished"
  alarm_description   = "In six hours, at least two terminations of ${var.group_name}, and more than a fifth of all, ended without a completed lifecycle action. ${var.runbook_url}#unfinished"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  tags                = var.tags

  metric_query {
    id          = "unfinished"
    expression  = "IF(terminated - FILL(completed, 0) >= 2 AND terminated - FILL(completed, 0) > terminated / 5, 1, 0)"
    label       = "Unfinished actions"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = aws_sqs_queue.counted

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/SQS"
        metric_name = "NumberOfMessagesSent"
        dimensions  = { QueueName = metric_query.value.name }
        stat        = "Sum"
        period      = 21600
      }
    }
  }
}
