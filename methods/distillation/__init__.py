"""Methods that learn from a slower copy of themselves."""
