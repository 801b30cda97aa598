"""Methods that predict what comes next in a sequence."""
