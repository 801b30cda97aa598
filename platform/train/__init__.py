"""One run, on one worker or several: its loop, what the loop needs, and what is measured and kept of it."""
