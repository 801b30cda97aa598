"""Methods that pull views of one image together and push apart: other images, or other dimensions."""
