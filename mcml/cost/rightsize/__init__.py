"""Right-sizing: what a machine does against what it has, the change that follows, how it went, and what it saved."""
