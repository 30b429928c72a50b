"""What it costs: the way of bills and measured use into the ledger, the questions people ask it, and the prices the router reads."""
