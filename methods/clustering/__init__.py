"""Methods whose targets are clusters, or places, that the pictures' own features are assigned to."""
