variable "region" {
  type        = string
  description = "The Region."
  default     = "eu-west-1"
}

variable "name" {
  type        = string
  description = "The name of the group and of what belongs to it; at most 32 characters, as a target group's."
  default     = "web"
}

variable "ami_id" {
  type        = string
  description = "An image with drainhook (see packer/), your service and the AWS CLI."
}

variable "instance_type" {
  type        = string
  description = "The instance type; it has to fit the image."
  default     = "t3.small"
}

variable "vpc_id" {
  type        = string
  description = "The VPC of the load balancer and the instances."
}

variable "subnet_ids" {
  type        = list(string)
  description = "The subnets of the instances."
}

variable "security_group_ids" {
  type        = list(string)
  description = "The security groups of the instances: in from the load balancer to the port, out to HTTPS."
}

variable "listener_arn" {
  type        = string
  description = "The ARN of an HTTPS listener of an Application Load Balancer."
}

variable "host" {
  type        = string
  description = "Requests for this host go to the service."
}

variable "port" {
  type        = number
  description = "Where the service listens, and answers the agent protocol too."
  default     = 8080
}

variable "health_path" {
  type        = string
  description = "Where the service says that it is ready, with a status of 2xx."
  default     = "/health"
}

variable "size_min" {
  type        = number
  description = "The least number of instances."
  default     = 2
}

variable "size_max" {
  type        = number
  description = "The greatest number of instances."
  default     = 10
}

variable "launch_timeout" {
  type        = number
  description = "For how many seconds a new instance may become healthy, before it is replaced."
  default     = 300
}

variable "deregistration_delay" {
  type        = number
  description = "For how many seconds the load balancer lets requests under way finish."
  default     = 60
}

variable "drain_timeout" {
  type        = number
  description = "For how many seconds what is left then may finish."
  default     = 900
}

variable "alarm_actions" {
  type        = list(string)
  description = "The ARNs of what alarms set off, such as an SNS topic."
  default     = []
}
