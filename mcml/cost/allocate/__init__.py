"""Who bears which costs: ordered rules, shared costs split by a driver, every cent once, and what nobody bears as a line of its own."""
