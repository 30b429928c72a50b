"""A model onto its targets: what would change (a plan), the change itself, and where the model answers afterwards."""
