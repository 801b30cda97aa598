"""Methods that pull views of one image together and push other images away."""
