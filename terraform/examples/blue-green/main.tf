# Two groups, one of which takes the work. To release, give the idle group the new image and the size, and apply. When you trust
# it, set the size of the other group to 0 and apply. Its instances finish their work and are terminated. To roll back, do the
# same in the other direction. Each group has its own queue, hook and role, so neither can touch the other's.

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

# One module per group, with everything that the group needs.
module "group" {
  source   = "./group"
  for_each = var.groups

  name               = "${var.name}-${each.key}"
  ami_id             = each.value.ami_id
  size               = each.value.size
  instance_type      = var.instance_type
  subnet_ids         = var.subnet_ids
  security_group_ids = var.security_group_ids
  drain_timeout      = var.drain_timeout
}
