variable "name" {
  type        = string
  description = "The name of the group and its resources."
}

variable "ami_id" {
  type        = string
  description = "The image. It must contain drainhook."
}

variable "size" {
  type        = number
  description = "The number of instances."
}

variable "instance_type" {
  type        = string
  description = "The instance type."
}

variable "subnet_ids" {
  type        = list(string)
  description = "The subnets of the instances."
}

variable "security_group_ids" {
  type        = list(string)
  description = "The security groups of the instances."
}

variable "drain_timeout" {
  type        = number
  description = "The longest time that a drain may take, in seconds."
}
