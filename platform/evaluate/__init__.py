"""Protocols that score what was learned, one file each."""

from unlabeled.platform.evaluate.features import Features, extract
from unlabeled.platform.evaluate.health import alignment, deviation, rankme, uniformity
from unlabeled.platform.evaluate.knn import KNN
from unlabeled.platform.evaluate.linear import Linear
from unlabeled.platform.evaluate.probe import FeatureProbe, MethodProbe, ProbeConfig, Subject

__all__ = [
    "KNN",
    "FeatureProbe",
    "Features",
    "Linear",
    "MethodProbe",
    "ProbeConfig",
    "Subject",
    "alignment",
    "deviation",
    "extract",
    "rankme",
    "uniformity",
]
