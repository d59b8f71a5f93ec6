# Images with drainhook installed and its unit enabled: Amazon Linux 2023 and Debian 12, on x86-64 and arm64.

locals {
  stamp = formatdate("YYYYMMDD-hhmmss", timestamp())
  tags  = merge({ Name = var.ami_prefix }, var.tags)

  # The arguments of install.sh, by image.
  package_arguments = {
    for image, package in var.packages : image => (
      substr(package, 0, 8) == "https://"
      ? "--url '${split("#sha256=", package)[0]}' --sha256 ${split("#sha256=", package)[1]}"
      : "'/tmp/drainhook/${basename(package)}'"
    )
  }
  package_files           = [for package in values(var.packages) : package if substr(package, 0, 8) != "https://"]
  configuration_arguments = var.configuration == "" ? "" : "--config '/tmp/drainhook/${basename(var.configuration)}'"
}

source "amazon-ebs" "drainhook" {
  region                                = var.region
  subnet_id                             = var.subnet_id
  iam_instance_profile                  = var.instance_profile
  temporary_security_group_source_cidrs = var.ssh_cidrs
  ssh_clear_authorized_keys             = true

  # Encrypt the volume from the start, so there is never an unencrypted snapshot.
  launch_block_device_mappings {
    device_name           = "/dev/xvda" # the root device of both distributions
    volume_type           = "gp3"
    iops                  = 3000 # the baseline of gp3, like the throughput in MiB/s
    throughput            = 125
    encrypted             = true
    kms_key_id            = var.kms_key_id
    delete_on_termination = true
  }

  tags = merge(local.tags, {
    SourceImage     = "{{ .SourceAMI }}"
    SourceImageName = "{{ .SourceAMIName }}"
  })
  snapshot_tags   = local.tags
  run_tags        = local.tags
  run_volume_tags = local.tags

  # <not in Packer 1.6>
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  imds_support = "v2.0" # launched instances require IMDSv2, too, by default with a hop limit of 2
  # </not in Packer 1.6>
}

build {
  # AWS publishes images with several kernels on the same day, so the newest image could have any of them. Kernel 6.12 is
  # supported as long as the distribution: https://docs.aws.amazon.com/linux/al2023/ug/kernel-lifecycle.html
  # Names (minimal images are al2023-ami-minimal-…): https://docs.aws.amazon.com/linux/al2023/ug/naming-and-versioning.html
  source "amazon-ebs.drainhook" {
    name          = "al2023-x86_64"
    ami_name      = "${var.ami_prefix}-al2023-x86_64-${local.stamp}"
    instance_type = var.instance_type_x86_64
    ssh_username  = "ec2-user"
    source_ami_filter {
      owners      = ["amazon"]
      most_recent = true
      filters = {
        name                = "al2023-ami-2023.*-kernel-6.12-x86_64"
        architecture        = "x86_64"
        virtualization-type = "hvm"
        root-device-type    = "ebs"
      }
    }
  }

  source "amazon-ebs.drainhook" {
    name          = "al2023-arm64"
    ami_name      = "${var.ami_prefix}-al2023-arm64-${local.stamp}"
    instance_type = var.instance_type_arm64
    ssh_username  = "ec2-user"
    source_ami_filter {
      owners      = ["amazon"]
      most_recent = true
      filters = {
        name                = "al2023-ami-2023.*-kernel-6.12-arm64"
        architecture        = "arm64"
        virtualization-type = "hvm"
        root-device-type    = "ebs"
      }
    }
  }

  # Debian's own account: https://wiki.debian.org/Cloud/AmazonEC2Image/Bookworm
  source "amazon-ebs.drainhook" {
    name          = "debian-12-x86_64"
    ami_name      = "${var.ami_prefix}-debian-12-x86_64-${local.stamp}"
    instance_type = var.instance_type_x86_64
    ssh_username  = "admin"
    source_ami_filter {
      owners      = ["136693071363"]
      most_recent = true
      filters = {
        name                = "debian-12-amd64-*"
        architecture        = "x86_64"
        virtualization-type = "hvm"
        root-device-type    = "ebs"
      }
    }
  }

  source "amazon-ebs.drainhook" {
    name          = "debian-12-arm64"
    ami_name      = "${var.ami_prefix}-debian-12-arm64-${local.stamp}"
    instance_type = var.instance_type_arm64
    ssh_username  = "admin"
    source_ami_filter {
      owners      = ["136693071363"]
      most_recent = true
      filters = {
        name                = "debian-12-arm64-*"
        architecture        = "arm64"
        virtualization-type = "hvm"
        root-device-type    = "ebs"
      }
    }
  }

  # At first boot, cloud-init installs packages and holds the package manager's lock.
  provisioner "shell" {
    inline = ["cloud-init status --wait", "mkdir /tmp/drainhook"]
  }

  # For an image without a package, this fails and prints the text as the path of the missing file.
  provisioner "file" {
    sources = compact(concat(
      ["${path.root}/provision/install.sh", "${path.root}/provision/validate.sh", var.configuration],
      contains(keys(var.packages), source.name)
      ? [for package in local.package_files : package if package == var.packages[source.name]]
      : ["packages has no package for ${source.name}: add one, or build only the other images (-only)"]
    ))
    destination = "/tmp/drainhook/"
  }

  provisioner "shell" {
    inline = [
      "sudo bash /tmp/drainhook/install.sh ${lookup(local.package_arguments, source.name, "")} ${local.configuration_arguments}",
      "sudo bash /tmp/drainhook/validate.sh",
    ]
  }

  # Remove what belongs to this machine: the uploaded files, cloud-init's state and logs, and the machine id, which is empty
  # in an image (machine-id(5)). validate.sh has checked that there is no journal.
  provisioner "shell" {
    inline = [
      "rm -r /tmp/drainhook",
      "sudo cloud-init clean --logs",
      "sudo truncate --size 0 /etc/machine-id",
    ]
  }
}
