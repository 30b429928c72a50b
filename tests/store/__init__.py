"""The journal, the incidents and the prices on both databases, whatever happens to them; the cost ledger over its files."""
