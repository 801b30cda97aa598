"""Protocols on frozen features, one file each."""

from unlabeled.platform.evaluate.features import Features, extract
from unlabeled.platform.evaluate.health import alignment, deviation, rankme, uniformity
from unlabeled.platform.evaluate.knn import KNN
from unlabeled.platform.evaluate.linear import Linear
from unlabeled.platform.evaluate.probe import ProbeConfig

__all__ = ["KNN", "Features", "Linear", "ProbeConfig", "alignment", "deviation", "extract", "rankme", "uniformity"]
