terraform {
  # `terraform test` with mocked providers, which only the tests need, takes 1.7.
  required_version = ">= 1.6"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40, < 7"
    }
  }
}
