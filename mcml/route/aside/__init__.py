"""What stands beside the path of a request: signatures and the check of requests, and the shadow with its comparison."""
