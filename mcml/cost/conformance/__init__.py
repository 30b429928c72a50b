"""The rules of FOCUS, and the verdicts on the rows of an export or of the ledger."""
