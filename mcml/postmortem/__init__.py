"""Postmortems: a draft whose facts come from the journal, each with its rows, and whose judgement is left to people."""
