"""The one road to stored state: journal, incidents and prices (SQLite, or PostgreSQL for a team), and the cost ledger (DuckDB)."""
