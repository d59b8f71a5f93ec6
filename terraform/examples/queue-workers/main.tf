# Workers that take jobs from an SQS queue. The group scales with the work. Workers that are no longer needed get up to
# var.drain_timeout to finish their jobs, and are terminated as soon as they have.

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
  visibility_timeout_seconds = var.job_seconds_max # the job of a dead worker comes back after this
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
    instance_metadata_tags = "enabled" # the daemon reads its group from the tags, without a call
  }
}

resource "aws_autoscaling_group" "this" {
  name                  = var.name
  vpc_zone_identifier   = var.subnet_ids
  min_size              = var.size_min
  max_size              = var.size_max
  protect_from_scale_in = var.protect_from_scale_in

  # The time from launch to the first job. An instance does not count until then, so scaling does not overshoot.
  default_instance_warmup = var.warmup_seconds

  # The alarms, the dashboard and the scaling policy use these metrics.
  enabled_metrics = ["GroupDesiredCapacity", "GroupInServiceInstances", "GroupTerminatingInstances"]

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  # Launch new instances before old ones drain, so that jobs are never short of workers.
  instance_maintenance_policy {
    min_healthy_percentage = 100
    max_healthy_percentage = 120
  }

  # A new launch template replaces all instances. Each goes through the hook and drains for as long as in a scale-in. The
  # refresh waits for it, and also for protected instances.
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
    ignore_changes = [desired_capacity] # the scaling policy sets it
  }
}

# Scales by the waiting jobs per working instance. Draining instances take no more jobs, and GroupInServiceInstances does not
# count them. Jobs in flight are not counted as waiting, so they do not prevent a scale-in. The drain protects them.
resource "aws_autoscaling_policy" "this" {
  name                   = "backlog-per-instance"
  autoscaling_group_name = aws_autoscaling_group.this.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = var.jobs_per_instance

    customized_metric_specification {
      metrics {
        id          = "backlog"
        label       = "Waiting jobs per instance"
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
