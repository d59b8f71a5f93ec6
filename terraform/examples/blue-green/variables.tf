variable "region" {
  type        = string
  description = "The Region."
  default     = "eu-west-1"
}

variable "name" {
  type        = string
  description = "The prefix of the groups' names."
  default     = "workers"
}

variable "groups" {
  type = map(object({
    ami_id = string
    size   = number
  }))
  description = "The image and the number of instances of each group, `blue` and `green`. The image must contain drainhook (see packer/)."

  validation {
    condition     = length(setsubtract(keys(var.groups), ["blue", "green"])) == 0
    error_message = "The groups must be blue and green."
  }

  validation {
    condition     = sum([for group in var.groups : group.size]) > 0
    error_message = "All groups have the size 0, so no instance would work."
  }
}

variable "instance_type" {
  type        = string
  description = "The instance type. It must match the images' architecture."
  default     = "t3.small"
}

variable "subnet_ids" {
  type        = list(string)
  description = "The subnets of the instances."
}

variable "security_group_ids" {
  type        = list(string)
  description = "The security groups of the instances. Outbound HTTPS is enough."
}

variable "drain_timeout" {
  type        = number
  description = "The longest time that a drain may take, in seconds."
  default     = 3600
}
