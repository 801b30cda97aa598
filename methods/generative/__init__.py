"""Pretext tasks that model how likely a picture is."""
