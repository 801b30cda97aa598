"""Methods whose labels come from the pictures themselves."""
