variable "region" {
  type        = string
  description = "The Region."
  default     = "eu-west-1"
}

variable "name" {
  type        = string
  description = "The name of the group and its resources. At most 32 characters, the limit for target groups."
  default     = "web"
}

variable "ami_id" {
  type        = string
  description = "An image with drainhook (see packer/), your service and the AWS CLI."
}

variable "instance_type" {
  type        = string
  description = "The instance type. It must match the image's architecture."
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
  description = "The security groups of the instances. They must permit the load balancer to reach the port, and outbound HTTPS."
}

variable "listener_arn" {
  type        = string
  description = "The ARN of an HTTPS listener of an Application Load Balancer."
}

variable "host" {
  type        = string
  description = "The host name whose requests go to the service."
}

variable "port" {
  type        = number
  description = "The port of the service, which also answers the agent protocol."
  default     = 8080
}

variable "health_path" {
  type        = string
  description = "The path where the service answers 2xx when it is ready."
  default     = "/health"
}

variable "size_min" {
  type        = number
  description = "The minimum number of instances."
  default     = 2
}

variable "size_max" {
  type        = number
  description = "The maximum number of instances."
  default     = 10
}

variable "launch_timeout" {
  type        = number
  description = "How many seconds a new instance has to become healthy before it is replaced."
  default     = 300
}

variable "deregistration_delay" {
  type        = number
  description = "How many seconds the load balancer gives requests under way to finish."
  default     = 60
}

variable "drain_timeout" {
  type        = number
  description = "How many seconds the remaining work then has to finish."
  default     = 900
}

variable "alarm_actions" {
  type        = list(string)
  description = "The ARNs of the alarms' actions, such as an SNS topic."
  default     = []
}
