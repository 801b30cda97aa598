"""Methods that predict the pixels that were hidden."""
