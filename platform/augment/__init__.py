"""Batched augmentation: operations, policies, view plans, and the published policies as constants."""

from unlabeled.platform.augment.color import ColorDrop, ColorJitter, Solarize
from unlabeled.platform.augment.filters import GaussianBlur, GaussianNoise, Sobel
from unlabeled.platform.augment.op import Op
from unlabeled.platform.augment.picture import draw_views
from unlabeled.platform.augment.policy import Policy, View, ViewPlan, two_views
from unlabeled.platform.augment.published import (
    MOCO_V1,
    MOCO_V1_BLUR,
    MOCO_V1_SMALL,
    MOCO_V2,
    MOCO_V2_SMALL,
    PLAIN,
    POLICIES,
    SIMCLR,
    SIMCLR_SMALL,
    simclr,
)
from unlabeled.platform.augment.spatial import Crop, Cutout, Flip, Rotate90

__all__ = [
    "MOCO_V1",
    "MOCO_V1_BLUR",
    "MOCO_V1_SMALL",
    "MOCO_V2",
    "MOCO_V2_SMALL",
    "PLAIN",
    "POLICIES",
    "SIMCLR",
    "SIMCLR_SMALL",
    "ColorDrop",
    "ColorJitter",
    "Crop",
    "Cutout",
    "Flip",
    "GaussianBlur",
    "GaussianNoise",
    "Op",
    "Policy",
    "Rotate90",
    "Sobel",
    "Solarize",
    "View",
    "ViewPlan",
    "draw_views",
    "simclr",
    "two_views",
]
