# Workers that take jobs from an SQS queue: as many as there is work for. Those that are no longer needed finish what they
# have, for up to var.drain_timeout, and go the moment that they have.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40, < 7"
    }
  }
}

provider "aws" {
  region = var.region
}

module "drainhook" {
  source = "../.."

  group_name    = var.name
  group_id      = aws_autoscaling_group.this.id
  role_name     = aws_iam_role.this.name
  drain_timeout = var.drain_timeout
  alarm_actions = var.alarm_actions
}

resource "aws_sqs_queue" "jobs" {
  name                       = "${var.name}-jobs"
  visibility_timeout_seconds = var.job_seconds_max # a job whose worker died comes back after that
  sqs_managed_sse_enabled    = true
}

resource "aws_iam_role" "this" {
  name = var.name

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "jobs" {
  name = "jobs"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"]
      Resource = aws_sqs_queue.jobs.arn
    }]
  })
}

resource "aws_iam_instance_profile" "this" {
  name = var.name
  role = aws_iam_role.this.name
}

resource "aws_launch_template" "this" {
  name                   = var.name
  image_id               = var.ami_id
  instance_type          = var.instance_type
  vpc_security_group_ids = var.security_group_ids
  user_data              = base64encode(module.drainhook.user_data)
  update_default_version = true

  iam_instance_profile {
    arn = aws_iam_instance_profile.this.arn
  }

  metadata_options {
    http_tokens            = "required"
    instance_metadata_tags = "enabled" # tells the daemon its group without a call
  }
}

resource "aws_autoscaling_group" "this" {
  name                  = var.name
  vpc_zone_identifier   = var.subnet_ids
  min_size              = var.size_min
  max_size              = var.size_max
  protect_from_scale_in = var.protect_from_scale_in

  # From launch to the first job: until then an instance counts for nothing, so that scaling does not overshoot.
  default_instance_warmup = var.warmup_seconds

  # What the alarms, the dashboard and the scaling policy look at.
  enabled_metrics = ["GroupDesiredCapacity", "GroupInServiceInstances", "GroupTerminatingInstances"]

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  # New instances come first, old ones drain then: jobs are never short of workers.
  instance_maintenance_policy {
    min_healthy_percentage = 100
    max_healthy_percentage = 120
  }

  # A new launch template replaces all instances. Each goes through the hook, and drains for as long as a scale-in would
  # let it; the refresh waits. Protected instances are waited for, too.
  instance_refresh {
    strategy = "Rolling"

    preferences {
      instance_warmup              = var.warmup_seconds
      scale_in_protected_instances = "Wait"
      auto_rollback                = true
    }
  }

  tag {
    key                 = "Name"
    value               = var.name
    propagate_at_launch = true
  }

  lifecycle {
    ignore_changes = [desired_capacity] # the policy's
  }
}

# Jobs that wait, for each instance that works. Draining instances take no more jobs, and GroupInServiceInstances does not
# count them; jobs in flight do not wait, so they keep nothing from being scaled in: they are what the drain is for.
resource "aws_autoscaling_policy" "this" {
  name                   = "backlog-per-instance"
  autoscaling_group_name = aws_autoscaling_group.this.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = var.jobs_per_instance

    customized_metric_specification {
      metrics {
        id          = "backlog"
        label       = "Jobs that wait for each instance"
        expression  = "IF(instances > 0, jobs / instances, jobs)"
        return_data = true
      }

      metrics {
        id          = "jobs"
        return_data = false

        metric_stat {
          stat = "Maximum"

          metric {
            namespace   = "AWS/SQS"
            metric_name = "ApproximateNumberOfMessagesVisible"

            dimensions {
              name  = "QueueName"
              value = aws_sqs_queue.jobs.name
            }
          }
        }
      }

      metrics {
        id          = "instances"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = "AWS/AutoScaling"
            metric_name = "GroupInServiceInstances"

            dimensions {
              name  = "AutoScalingGroupName"
              value = aws_autoscaling_group.this.name
            }
          }
        }
      }
    }
  }
}
