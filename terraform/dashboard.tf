locals {
  group_metrics = ["GroupDesiredCapacity", "GroupInServiceInstances", "GroupTerminatingInstances"]

  widgets = concat(
    [
      { title = "Instances", stat = "Maximum", metrics = [for metric in local.group_metrics : ["AWS/AutoScaling", metric, "AutoScalingGroupName", var.group_name]] },
    ],
    [for queue in aws_sqs_queue.this : {
      title = "Termination queue", stat = "Maximum", metrics = concat(
        [for metric in ["ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"] : ["AWS/SQS", metric, "QueueName", queue.name]],
        [for dead_letter in aws_sqs_queue.dead_letter : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", dead_letter.name, { label = "dead letters" }]],
      )
    }],
    length(aws_sqs_queue.counted) == 0 ? [] : [{
      title = "Terminations and completions", stat = "Sum", metrics = [for key, queue in aws_sqs_queue.counted : ["AWS/SQS", "NumberOfMessagesSent", "QueueName", queue.name, { label = key }]]
    }],
    !var.daemon_metrics ? [] : [
      { title = "Drains ended", stat = "Sum", metrics = [for metric in ["DrainsDrained", "DrainsDeadline", "DrainsFailed", "DrainsWithdrawn"] : ["drainhook", metric, "AutoScalingGroupName", var.group_name]] },
      { title = "Work in flight", stat = "Sum", metrics = [["drainhook", "InFlight", "AutoScalingGroupName", var.group_name]] },
      { title = "Seconds from notice to completion", stat = "p90", metrics = [["drainhook", "DrainSeconds", "AutoScalingGroupName", var.group_name]] },
    ],
  )

  alarm_arns = concat([for alarm in aws_cloudwatch_metric_alarm.this : alarm.arn], aws_cloudwatch_metric_alarm.unfinished[*].arn)
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.dashboard ? 1 : 0

  dashboard_name = "${local.name}-drainhook"
  dashboard_body = jsonencode({
    widgets = concat(
      [{ type = "alarm", x = 0, y = 0, width = 24, height = 3, properties = { title = "Alarms", alarms = local.alarm_arns } }],
      [for index, widget in local.widgets : {
        type = "metric", x = index % 2 * 12, y = 3 + floor(index / 2) * 6, width = 12, height = 6
        properties = {
          title  = widget.title, stat = widget.stat, metrics = widget.metrics
          region = local.region, period = 60, view = "timeSeries", yAxis = { left = { min = 0 } }
        }
      }],
    )
  })
}
