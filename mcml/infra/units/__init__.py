"""Units: Terraform roots with one state each, how they are wired, and in which order work goes over them."""
