# Each alarm's key is its heading in the runbook.

locals {
  # Evaluating more than a day requires periods of an hour (PutMetricAlarm).
  terminating_minutes = coalesce(var.terminating_alarm_minutes, ceil(var.drain_timeout / 60) + 10)
  terminating_period  = local.terminating_minutes <= 1440 ? 60 : 3600

  group_dimensions = { AutoScalingGroupName = var.group_name }

  # Without the group's metrics enabled, these alarms are in INSUFFICIENT_DATA.
  group_alarms = merge(
    {
      terminating-too-long = {
        says               = "At least one instance of ${var.group_name} has been terminating throughout the last ${local.terminating_minutes} minutes."
        namespace          = "AWS/AutoScaling"
        metric_name        = "GroupTerminatingInstances"
        dimensions         = local.group_dimensions
        statistic          = "Minimum"
        period             = local.terminating_period
        evaluation_periods = ceil(local.terminating_minutes * 60 / local.terminating_period)
        missing            = "missing"
      }
    },
    # With ABANDON and an instance lifecycle policy that retains, an action that times out leaves its instance behind.
    var.default_result != "ABANDON" ? {} : {
      retained = {
        says               = "Instances of ${var.group_name} were retained because their action timed out or was abandoned."
        namespace          = "AWS/AutoScaling"
        metric_name        = "GroupTerminatingRetainedInstances"
        dimensions         = local.group_dimensions
        statistic          = "Maximum"
        period             = 60
        evaluation_periods = 1
        missing            = "missing"
      }
    },
  )

  queue_alarms = { for queue in aws_sqs_queue.dead_letter : "dead-letters" => {
    says               = "Events for ${var.group_name} could not be delivered to the termination queue."
    namespace          = "AWS/SQS"
    metric_name        = "ApproximateNumberOfMessagesVisible"
    dimensions         = { QueueName = queue.name }
    statistic          = "Maximum"
    period             = 300
    evaluation_periods = 1
    missing            = "notBreaching"
  } }

  daemon_alarms = { for key, alarm in {
    drains-failed      = { metric_name = "DrainsFailed", statistic = "Sum", evaluation_periods = 1, says = "Agents of ${var.group_name} could not be drained." }
    drains-deadline    = { metric_name = "DrainsDeadline", statistic = "Sum", evaluation_periods = 1, says = "Agents of ${var.group_name} still had work when their time was up." }
    drained-in-service = { metric_name = "DrainedInService", statistic = "Maximum", evaluation_periods = 3, says = "Instances of ${var.group_name} are in service, but their agents have drained and take no work." }
  } : key => merge(alarm, { namespace = "drainhook", dimensions = local.group_dimensions, period = 300, missing = "notBreaching" }) if var.daemon_metrics }

  alarms = merge(local.group_alarms, local.queue_alarms, local.daemon_alarms)
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${local.name}-${each.key}"
  alarm_description   = "${each.value.says} ${var.runbook_url}#${each.key}"
  namespace           = each.value.namespace
  metric_name         = each.value.metric_name
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = each.value.period
  evaluation_periods  = each.value.evaluation_periods
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_actions
  tags                = var.tags
}
