"""One page a day or a week: what it cost and why, where the month is going, and what needs somebody."""
