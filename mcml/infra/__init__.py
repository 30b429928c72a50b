"""The targets themselves: what Terraform would change (a plan), the change, what is applied, and what drifted since."""
