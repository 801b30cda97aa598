"""Protocols that score what was learned, one file each."""

from unlabeled.platform.evaluate.classifier import Classifier
from unlabeled.platform.evaluate.clustering import KMeans
from unlabeled.platform.evaluate.corruptions import Corruption
from unlabeled.platform.evaluate.detect import Detect
from unlabeled.platform.evaluate.extraction import Look, collect, extract
from unlabeled.platform.evaluate.features import Features
from unlabeled.platform.evaluate.fine_tune import FineTune
from unlabeled.platform.evaluate.frames import Frames
from unlabeled.platform.evaluate.health import alignment, deviation, rankme, uniformity
from unlabeled.platform.evaluate.keypoints import Keypoints
from unlabeled.platform.evaluate.knn import KNN
from unlabeled.platform.evaluate.linear import Linear
from unlabeled.platform.evaluate.measurement import Measurement, every, name_of, names
from unlabeled.platform.evaluate.probe import FeatureProbe, MethodProbe, ProbeConfig, Subject
from unlabeled.platform.evaluate.propagate import Propagate
from unlabeled.platform.evaluate.segment import Segment
from unlabeled.platform.evaluate.zero_shot import ZeroShot

__all__ = [
    "KNN",
    "Classifier",
    "Corruption",
    "Detect",
    "FeatureProbe",
    "Features",
    "FineTune",
    "Frames",
    "KMeans",
    "Keypoints",
    "Linear",
    "Look",
    "Measurement",
    "MethodProbe",
    "ProbeConfig",
    "Propagate",
    "Segment",
    "Subject",
    "ZeroShot",
    "alignment",
    "collect",
    "deviation",
    "every",
    "extract",
    "name_of",
    "names",
    "rankme",
    "uniformity",
]
