# Each example plans.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "minimal" {
  command = plan

  module {
    source = "./examples/minimal"
  }
}

run "queue_workers" {
  command = plan

  module {
    source = "./examples/queue-workers"
  }

  variables {
    ami_id             = "ami-0123456789abcdef0"
    subnet_ids         = ["subnet-0123456789abcdef0"]
    security_group_ids = ["sg-0123456789abcdef0"]
  }

  assert {
    condition     = toset(aws_autoscaling_group.this.enabled_metrics) == toset(["GroupDesiredCapacity", "GroupInServiceInstances", "GroupTerminatingInstances"])
    error_message = "the alarms and the scaling policy use metrics that the group does not enable"
  }
}

run "web_service" {
  module {
    source = "./examples/web-service"
  }

  variables {
    ami_id             = "ami-0123456789abcdef0"
    vpc_id             = "vpc-0123456789abcdef0"
    subnet_ids         = ["subnet-0123456789abcdef0"]
    security_group_ids = ["sg-0123456789abcdef0"]
    listener_arn       = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/1234567890123456/1234567890123456"
    host               = "www.example.org"
  }

  assert {
    condition     = startswith(base64decode(aws_launch_template.this.user_data), "#!/bin/bash\ncat >") && strcontains(base64decode(aws_launch_template.this.user_data), "\n[launch]\nhook = \"ready\"\ntimeout = \"300s\"\n")
    error_message = base64decode(aws_launch_template.this.user_data)
  }
}

run "blue_green" {
  command = plan

  module {
    source = "./examples/blue-green"
  }

  variables {
    subnet_ids         = ["subnet-0123456789abcdef0"]
    security_group_ids = ["sg-0123456789abcdef0"]

    groups = {
      blue  = { ami_id = "ami-0123456789abcdef0", size = 3 }
      green = { ami_id = "ami-0fedcba9876543210", size = 0 }
    }
  }
}
