"""Incidents: opened by facts with no command typed, acknowledged and resolved by people, told as a story from the journal."""
