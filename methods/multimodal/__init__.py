"""Methods that learn from pictures and texts."""
