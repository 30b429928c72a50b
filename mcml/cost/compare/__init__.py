"""One model in all its places, at its own size and at others."""
