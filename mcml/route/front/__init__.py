"""The side that clients see: the listener's address, its certificate, and the API keys."""
