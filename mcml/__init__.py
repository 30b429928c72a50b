"""mcml: machine-learning models on more than one cloud."""
