terraform {
  # 1.9: a validation may look at another variable. No provider: nothing is made here.
  required_version = ">= 1.11"
}
