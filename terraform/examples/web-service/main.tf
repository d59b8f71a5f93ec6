# A service behind an existing load balancer. An instance gets requests once it is healthy. When it is terminated, no request is
# lost: the load balancer deregisters it first, and then drainhook drains what is left (WebSockets, uploads, background work).

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

  group_name        = var.name
  group_id          = aws_autoscaling_group.this.id
  role_name         = aws_iam_role.this.name
  heartbeat_timeout = 60
  drain_timeout     = var.drain_timeout

  # IMDS announces the termination while the load balancer still sends requests, so serve them first.
  drain_at = "wait"

  agent = {
    url   = "http://127.0.0.1:${var.port}"
    ready = { path = var.health_path }
  }

  # Holds an instance until the service is healthy, and replaces one that never is. The group's first instances launch before the
  # hook exists and are not held.
  launch_hook = {
    timeout = "${var.launch_timeout}s"
  }

  # The deregistration counts as terminating, too.
  terminating_alarm_minutes = ceil((var.deregistration_delay + var.drain_timeout) / 60) + 10
  alarm_actions             = var.alarm_actions
}

resource "aws_lb_target_group" "this" {
  #checkov:skip=CKV_AWS_378:HTTP between load balancer and instance, because TLS ends at the listener
  name        = var.name
  vpc_id      = var.vpc_id
  port        = var.port
  protocol    = "HTTP"
  target_type = "instance"

  # How long requests under way may continue after the last new one.
  deregistration_delay = var.deregistration_delay

  health_check {
    path                = var.health_path
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener_rule" "this" {
  listener_arn = var.listener_arn

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }

  condition {
    host_header {
      values = [var.host]
    }
  }
}

resource "aws_iam_role" "this" {
  name = var.name

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
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
    instance_metadata_tags = "enabled"
  }
}

resource "aws_autoscaling_group" "this" {
  name                = var.name
  vpc_zone_identifier = var.subnet_ids
  min_size            = var.size_min
  max_size            = var.size_max
  target_group_arns   = [aws_lb_target_group.this.arn]
  enabled_metrics     = ["GroupDesiredCapacity", "GroupInServiceInstances", "GroupTerminatingInstances"]

  # Counted from InService, after the launch hook. The load balancer's checks must pass within this time. An instance that
  # becomes unhealthy later goes through the termination hook and drains.
  health_check_type         = "ELB"
  health_check_grace_period = 60
  default_instance_warmup   = 60

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  instance_maintenance_policy {
    min_healthy_percentage = 100
    max_healthy_percentage = 120
  }

  instance_refresh {
    strategy = "Rolling"
  }

  tag {
    key                 = "Name"
    value               = var.name
    propagate_at_launch = true
  }

  lifecycle {
    ignore_changes = [desired_capacity]
  }
}

resource "aws_autoscaling_policy" "this" {
  name                   = "cpu"
  autoscaling_group_name = aws_autoscaling_group.this.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = 50

    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}
