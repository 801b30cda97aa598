"""From a study to finished runs: which are due, where they run, and what becomes of them."""
