"""Dated exchange rates: read from a file, and used only by who asks for costs in one currency."""
