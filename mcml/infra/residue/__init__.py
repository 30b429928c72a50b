"""What is really there against what states know: drift, what is in no state, and how it is adopted. Pure."""
