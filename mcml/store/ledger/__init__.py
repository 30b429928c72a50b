"""The cost ledger: FOCUS rows in Parquet files under one manifest, asked with DuckDB; nothing else in mcml speaks to DuckDB about money."""
