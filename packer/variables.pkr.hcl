# Packer 1.6 has regex_replace but not regex. A value matches if replacing the pattern leaves an empty string.

variable "region" {
  type        = string
  description = "The Region in which the images are built and stored."

  validation {
    condition     = var.region != "" && regex_replace(var.region, "^[a-z]{2,}(-[a-z]+)+-[0-9]+$", "") == ""
    error_message = "The region must be the name of a Region, such as eu-west-1."
  }
}

variable "packages" {
  type        = map(string)
  description = "The package for each image: a file on this machine, or a URL with the package's SHA-256 (`https://…#sha256=…`)."

  validation {
    condition     = length([for image in keys(var.packages) : image if contains(["al2023-x86_64", "al2023-arm64", "debian-12-x86_64", "debian-12-arm64"], image) == false]) == 0
    error_message = "The keys of packages must be images: al2023-x86_64, al2023-arm64, debian-12-x86_64, debian-12-arm64."
  }

  validation {
    condition     = length([for image, package in var.packages : image if regex_replace("${image}=${package}", "^(al2023-[^=]+=[^#:']+\\.rpm|debian-[^=]+=[^#:']+\\.deb|[^=]+=https://[^#'\\s]+#sha256=[0-9A-Fa-f]{64})$", "") != ""]) == 0
    error_message = "Each of packages must be the path of a file (.rpm for al2023, .deb for debian-12), or https://URL#sha256= and the 64 hexadecimal digits of its SHA-256."
  }
}

variable "configuration" {
  type        = string
  description = "A file on this machine to install as `/etc/drainhook/drainhook.toml`. Empty keeps the package's own file."
  default     = ""

  validation {
    condition     = var.configuration == "" || regex_replace(var.configuration, "^.*\\.toml$", "") == ""
    error_message = "The configuration must be the path of a .toml file, or empty."
  }
}

variable "ami_prefix" {
  type        = string
  description = "The prefix of the images' names. The image and the time follow it."
  default     = "drainhook"

  # A name may have 128 of these characters: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html
  validation {
    condition     = var.ami_prefix != "" && regex_replace(var.ami_prefix, "^[A-Za-z0-9()\\[\\] ./'@_-]{1,90}$", "") == ""
    error_message = "The ami_prefix must be 1 to 90 letters, digits, spaces or ()[]./-'@_."
  }
}

variable "instance_type_x86_64" {
  type        = string
  description = "The instance type that builds the x86-64 images."
  default     = "t3.small"

  validation {
    condition     = var.instance_type_x86_64 != "" && regex_replace(var.instance_type_x86_64, "^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", "") == ""
    error_message = "The instance_type_x86_64 must be an instance type, such as t3.small."
  }
}

variable "instance_type_arm64" {
  type        = string
  description = "The instance type that builds the arm64 images."
  default     = "t4g.small"

  validation {
    condition     = var.instance_type_arm64 != "" && regex_replace(var.instance_type_arm64, "^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", "") == ""
    error_message = "The instance_type_arm64 must be an instance type, such as t4g.small."
  }
}

variable "subnet_id" {
  type        = string
  description = "The subnet in which the images are built. Empty uses a subnet of the default VPC."
  default     = ""

  validation {
    condition     = var.subnet_id == "" || regex_replace(var.subnet_id, "^subnet-[0-9a-f]{8,17}$", "") == ""
    error_message = "The subnet_id must look like subnet-0123456789abcdef0, or be empty."
  }
}

variable "ssh_cidrs" {
  type        = list(string)
  description = "The networks from which the build instance accepts SSH connections. Set it to your own."
  default     = ["0.0.0.0/0"]

  validation {
    condition     = length(var.ssh_cidrs) > 0 && length([for cidr in var.ssh_cidrs : cidr if regex_replace(cidr, "^([0-9]{1,3}\\.){3}[0-9]{1,3}/[0-9]{1,2}$", "") != ""]) == 0
    error_message = "Each of ssh_cidrs must be an IPv4 network, such as 192.0.2.0/24, and there must be at least one."
  }
}

variable "instance_profile" {
  type        = string
  description = "The name of the build instance's instance profile. The build instance does not need one."
  default     = ""

  validation {
    condition     = var.instance_profile == "" || regex_replace(var.instance_profile, "^[A-Za-z0-9+=,.@_-]{1,128}$", "") == ""
    error_message = "The instance_profile must be the name of an instance profile, not its ARN, or be empty."
  }
}

variable "kms_key_id" {
  type        = string
  description = "The KMS key that encrypts the root volume (id, alias or ARN). Empty uses the account's default key for EBS."
  default     = ""

  validation {
    condition     = var.kms_key_id == "" || regex_replace(var.kms_key_id, "^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:)?(key/|alias/)?[A-Za-z0-9/_-]+$", "") == ""
    error_message = "The kms_key_id must be the id, the alias (alias/…) or the ARN of a KMS key, or empty."
  }
}

variable "tags" {
  type        = map(string)
  description = "Tags for the images, their snapshots and the resources of the build."
  default     = {}

  validation {
    condition     = length([for key in keys(var.tags) : key if regex_replace(key, "^(?i:aws:).*$", "") == ""]) == 0
    error_message = "The keys of tags must not be empty, or begin with aws:, which AWS reserves."
  }
}
