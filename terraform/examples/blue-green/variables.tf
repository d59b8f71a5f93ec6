variable "region" {
  type        = string
  description = "The Region."
  default     = "eu-west-1"
}

variable "name" {
  type        = string
  description = "What the names of the groups begin with."
  default     = "workers"
}

variable "groups" {
  type = map(object({
    ami_id = string
    size   = number
  }))
  description = "For each group, `blue` and `green`, the image that it runs (with drainhook in it: see packer/), and how many instances."

  validation {
    condition     = length(setsubtract(keys(var.groups), ["blue", "green"])) == 0
    error_message = "The groups must be blue and green."
  }

  validation {
    condition     = sum([for group in var.groups : group.size]) > 0
    error_message = "All groups have the size 0: no instance would work."
  }
}

variable "instance_type" {
  type        = string
  description = "The instance type; it has to fit the images."
  default     = "t3.small"
}

variable "subnet_ids" {
  type        = list(string)
  description = "The subnets of the instances."
}

variable "security_group_ids" {
  type        = list(string)
  description = "The security groups of the instances: out to HTTPS is enough."
}

variable "drain_timeout" {
  type        = number
  description = "The longest that a drain may take, in seconds."
  default     = 3600
}
