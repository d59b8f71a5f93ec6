variable "region" {
  type        = string
  description = "The Region."
  default     = "eu-west-1"
}

variable "name" {
  type        = string
  description = "The name of the group and its resources."
  default     = "workers"
}

variable "ami_id" {
  type        = string
  description = "An image with drainhook (see packer/) and your worker, which listens on http://127.0.0.1:8080."
}

variable "instance_type" {
  type        = string
  description = "The instance type. It must match the image's architecture."
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

variable "size_min" {
  type        = number
  description = "The minimum number of instances. With 0, a job may have to wait for an instance to launch."
  default     = 1
}

variable "size_max" {
  type        = number
  description = "The maximum number of instances. Draining instances do not count."
  default     = 10
}

variable "jobs_per_instance" {
  type        = number
  description = "The target number of waiting jobs per instance: the time that a job may wait, divided by the time that a job takes."
  default     = 10
}

variable "job_seconds_max" {
  type        = number
  description = "The longest time that a job takes, in seconds."
  default     = 1800
}

variable "drain_timeout" {
  type        = number
  description = "The longest time that a drain may take, in seconds. Set it longer than the longest job."
  default     = 3600
}

variable "warmup_seconds" {
  type        = number
  description = "The time from an instance's launch to its first job, in seconds."
  default     = 120
}

variable "protect_from_scale_in" {
  type        = bool
  description = "Whether new instances are protected from scale-in. Your worker then decides when its instance can be terminated (SetInstanceProtection). Jobs survive without it, because drainhook drains them."
  default     = false
}

variable "alarm_actions" {
  type        = list(string)
  description = "The ARNs of the alarms' actions, such as an SNS topic."
  default     = []
}
