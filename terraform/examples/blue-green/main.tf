# Two groups, of which one takes the work. To release, give the group that has none the new image and the size, apply; and
# when you trust it, set the size of the other to 0 and apply: its instances finish their work and go. To go back, the
# other way round. Each group has a queue, a hook and a role of its own, so neither can touch the other's.

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

# One module for each, with all that a group has.
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
