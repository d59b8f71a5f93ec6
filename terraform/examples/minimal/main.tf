# Adds a hook, a queue, a policy and alarms to an existing group and its instances' role.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40, < 7"
    }
  }
}

provider "aws" {
  region = "eu-west-1"
}

module "drainhook" {
  source = "../.."

  group_name = "workers"
  role_name  = "workers"
}

output "user_data" {
  description = "For the launch template."
  value       = module.drainhook.user_data
}
