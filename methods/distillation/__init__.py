"""Methods that learn from a teacher that is a copy of themselves, slower or just taken for given."""
