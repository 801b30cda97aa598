"""Searches: declared spaces of runs, trained point by point on Ray Tune with Optuna, and a winner named honestly."""

from unlabeled.platform.search.composition import Composition, Part, strengthened
from unlabeled.platform.search.declared import Constraint, Objective, Search
from unlabeled.platform.search.space import Choice, Dimension, Integer, LogUniform, Uniform

__all__ = [
    "Choice",
    "Composition",
    "Constraint",
    "Dimension",
    "Integer",
    "LogUniform",
    "Objective",
    "Part",
    "Search",
    "Uniform",
    "strengthened",
]
