"""How much of the cost is covered: by the tags that say whose it is, and by commitments."""
