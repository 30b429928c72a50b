terraform {
  # No provider: nothing is made here.
  required_version = ">= 1.11"
}
