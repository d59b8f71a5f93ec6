# required_plugins has its own file, because Packer 1.6 (in Debian 12) does not know it. Without this file, 1.6 can read the rest.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.2, < 2.0.0" # the first version whose amazon-ebs builder knows imds_support
    }
  }
}
