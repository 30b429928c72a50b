"""The one road to a Kubernetes cluster: its official client, imported on use, and what is read through it."""
