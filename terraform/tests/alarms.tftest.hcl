# Which alarms exist, and which metrics they use.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  group_name = "workers"
}

run "defaults" {
  command = plan

  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.this) == ["dead-letters", "terminating-too-long"] && length(aws_cloudwatch_metric_alarm.unfinished) == 0
    error_message = "there are ${join(", ", keys(aws_cloudwatch_metric_alarm.this))}"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["terminating-too-long"].period == 60 && aws_cloudwatch_metric_alarm.this["terminating-too-long"].evaluation_periods == 70
    error_message = "terminating-too-long has ${aws_cloudwatch_metric_alarm.this["terminating-too-long"].evaluation_periods} periods, not 70 of a minute each: the drain timeout of an hour plus ten minutes"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["terminating-too-long"].dimensions == tomap({ AutoScalingGroupName = "workers" }) && aws_cloudwatch_metric_alarm.this["dead-letters"].dimensions == tomap({ QueueName = "workers-termination-dead-letter" })
    error_message = "an alarm has the wrong dimensions"
  }
}

run "everything" {
  variables {
    default_result            = "ABANDON"
    daemon_metrics            = true
    completion_alarm          = true
    terminating_alarm_minutes = 5
    runbook_url               = "https://example.org/runbook"
    alarm_actions             = ["arn:aws:sns:eu-west-1:123456789012:pager"]
  }

  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.this) == ["dead-letters", "drained-in-service", "drains-deadline", "drains-failed", "retained", "terminating-too-long"]
    error_message = "there are ${join(", ", keys(aws_cloudwatch_metric_alarm.this))}"
  }

  assert {
    condition     = alltrue([for key, alarm in aws_cloudwatch_metric_alarm.this : endswith(alarm.alarm_description, " https://example.org/runbook#${key}")]) && endswith(aws_cloudwatch_metric_alarm.unfinished[0].alarm_description, " https://example.org/runbook#unfinished")
    error_message = "an alarm does not link to its part of the runbook"
  }

  assert {
    condition     = toset(flatten(regexall("(?m)^## (.+)$", file("../docs/runbook.md")))) == toset(concat(keys(aws_cloudwatch_metric_alarm.this), ["unfinished"]))
    error_message = "the headings of docs/runbook.md are not the names of the alarms"
  }

  assert {
    condition     = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.this), aws_cloudwatch_metric_alarm.unfinished) : alarm.alarm_actions == toset(var.alarm_actions)])
    error_message = "an alarm lacks its actions"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["terminating-too-long"].evaluation_periods == 5
    error_message = "terminating_alarm_minutes has no effect"
  }

  assert {
    condition     = length(output.alarm_arns) == 7
    error_message = "alarm_arns has ${length(output.alarm_arns)} of 7"
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.counted["completed"].event_pattern).detail.requestParameters == { autoScalingGroupName = ["workers"], lifecycleHookName = ["drain"] }
    error_message = "the rule counts completions of other groups or hooks"
  }

  assert {
    condition     = length([for widget in jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets : widget if widget.type == "metric"]) == 6
    error_message = "the dashboard does not have its six graphs"
  }
}

run "without_dashboard" {
  command = plan

  variables {
    dashboard = false
  }

  assert {
    condition     = length(aws_cloudwatch_dashboard.this) == 0
    error_message = "there is a dashboard"
  }
}
