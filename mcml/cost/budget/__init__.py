"""Budgets: what may be spent over all clouds at once, how it stands, and each alert told once."""
