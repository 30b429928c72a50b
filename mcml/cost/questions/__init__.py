"""The questions that the FOCUS use case library asks of a bill, and what the ledger answers."""
