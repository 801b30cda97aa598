"""Protocols that score what was learned, one file each."""

from unlabeled.platform.evaluate.clustering import KMeans
from unlabeled.platform.evaluate.corruptions import Corruption
from unlabeled.platform.evaluate.features import Features, extract
from unlabeled.platform.evaluate.fine_tune import FineTune
from unlabeled.platform.evaluate.health import alignment, deviation, rankme, uniformity
from unlabeled.platform.evaluate.knn import KNN
from unlabeled.platform.evaluate.linear import Linear
from unlabeled.platform.evaluate.measurement import Measurement, every, name_of, names
from unlabeled.platform.evaluate.probe import FeatureProbe, MethodProbe, ProbeConfig, Subject
from unlabeled.platform.evaluate.zero_shot import ZeroShot

__all__ = [
    "KNN",
    "Corruption",
    "FeatureProbe",
    "Features",
    "FineTune",
    "KMeans",
    "Linear",
    "Measurement",
    "MethodProbe",
    "ProbeConfig",
    "Subject",
    "ZeroShot",
    "alignment",
    "deviation",
    "every",
    "extract",
    "name_of",
    "names",
    "rankme",
    "uniformity",
]
