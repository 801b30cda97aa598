"""Worlds that are composed from the bundled emoji as they are read: scenes, and films with sound.

An item is made anew each time from its split and its number alone, by :mod:`unlabeled.platform.draws` and whole
numbers, so it is the same to the last bit on every machine, and nothing lies on disk. Emoji are split before anything
is composed: what is shown in test was never seen in training.
"""

from unlabeled.platform.data.worlds.films import read_films
from unlabeled.platform.data.worlds.scenes import read_scenes

__all__ = ["read_films", "read_scenes"]
