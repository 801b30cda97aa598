"""Methods that predict some channels of a picture from the others."""
