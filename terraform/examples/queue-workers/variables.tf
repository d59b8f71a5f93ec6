variable "region" {
  type        = string
  description = "The Region."
  default     = "eu-west-1"
}

variable "name" {
  type        = string
  description = "The name of the group and of what belongs to it."
  default     = "workers"
}

variable "ami_id" {
  type        = string
  description = "An image with drainhook (see packer/) and your worker, which listens on http://127.0.0.1:8080."
}

variable "instance_type" {
  type        = string
  description = "The instance type; it has to fit the image."
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

variable "size_min" {
  type        = number
  description = "The least number of instances. With 0, a job may wait for an instance's launch."
  default     = 1
}

variable "size_max" {
  type        = number
  description = "The greatest number of instances; draining ones do not count."
  default     = 10
}

variable "jobs_per_instance" {
  type        = number
  description = "How many waiting jobs an instance is for: the time that a job may wait, divided by the time that one takes."
  default     = 10
}

variable "job_seconds_max" {
  type        = number
  description = "The longest that a job takes, in seconds."
  default     = 1800
}

variable "drain_timeout" {
  type        = number
  description = "The longest that a drain may take, in seconds: more than the longest job."
  default     = 3600
}

variable "warmup_seconds" {
  type        = number
  description = "From an instance's launch to its first job."
  default     = 120
}

variable "protect_from_scale_in" {
  type        = bool
  description = "Whether new instances are protected from scale-in, which lets your worker say when it can go (SetInstanceProtection). Not needed for jobs to survive: drainhook sees to that."
  default     = false
}

variable "alarm_actions" {
  type        = list(string)
  description = "The ARNs of what alarms set off, such as an SNS topic."
  default     = []
}
