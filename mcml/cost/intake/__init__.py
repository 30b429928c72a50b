"""The way in: which files are bills, exports fetched from buckets, deliveries into the ledger, and what became of refused rows."""
