"""States: where they are kept, what they hold, who holds their lock, and what they were before."""
