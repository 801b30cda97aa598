"""Readers of what is not pictures alone: films, sounds, masks, boxes. A reader a file; the catalogue names them."""
