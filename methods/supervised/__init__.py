"""Methods that learn from labels: what the others are compared with."""
