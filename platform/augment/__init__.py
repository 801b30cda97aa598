"""Batched augmentation: operations on pictures, clips and sounds, policies, views, and published policies."""

from unlabeled.platform.augment.color import ColorDrop, ColorJitter, Solarize
from unlabeled.platform.augment.filters import GaussianBlur, GaussianNoise, Sobel
from unlabeled.platform.augment.moments import Moment
from unlabeled.platform.augment.op import Extent, Op
from unlabeled.platform.augment.picture import draw_views
from unlabeled.platform.augment.policy import Policy
from unlabeled.platform.augment.published import (
    BYOL,
    MOCO_V1,
    MOCO_V1_BLUR,
    MOCO_V1_SMALL,
    MOCO_V2,
    MOCO_V2_SMALL,
    PLAIN,
    POLICIES,
    SIMCLR,
    SIMCLR_SMALL,
    VICREG,
    simclr,
)
from unlabeled.platform.augment.spatial import Crop, Cutout, Flip, Rotate90
from unlabeled.platform.augment.view import Stream, View, ViewPlan, two_views
from unlabeled.platform.augment.waves import Gain, Polarity, Reverse, TimeMask, WaveNoise, WaveOp

__all__ = [
    "BYOL",
    "MOCO_V1",
    "MOCO_V1_BLUR",
    "MOCO_V1_SMALL",
    "MOCO_V2",
    "MOCO_V2_SMALL",
    "PLAIN",
    "POLICIES",
    "SIMCLR",
    "SIMCLR_SMALL",
    "VICREG",
    "ColorDrop",
    "ColorJitter",
    "Crop",
    "Cutout",
    "Extent",
    "Flip",
    "Gain",
    "GaussianBlur",
    "GaussianNoise",
    "Moment",
    "Op",
    "Polarity",
    "Policy",
    "Reverse",
    "Rotate90",
    "Sobel",
    "Solarize",
    "Stream",
    "TimeMask",
    "View",
    "ViewPlan",
    "WaveNoise",
    "WaveOp",
    "draw_views",
    "simclr",
    "two_views",
]
