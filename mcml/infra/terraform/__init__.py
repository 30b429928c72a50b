"""Running Terraform: its binary, the guard between it and us, what it says as events, and its complaints in our words."""
