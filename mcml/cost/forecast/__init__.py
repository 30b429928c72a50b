"""What the month will cost: from the ledger's own history, with a range that says how wrong such a forecast was before."""
