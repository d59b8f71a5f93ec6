# Alone in its file: Packer 1.6, which Debian 12 has, does not know required_plugins, and reads the rest without it.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.2, < 2.0.0" # the first whose amazon-ebs builder knows imds_support
    }
  }
}
