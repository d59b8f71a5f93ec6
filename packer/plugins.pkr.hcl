# In its own file, because Packer 1.6 (in Debian 12) does not know required_plugins. It can read the other files without it.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.2, < 2.0.0" # the first version whose amazon-ebs builder knows imds_support
    }
  }
}
