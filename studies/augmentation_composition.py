"""Which two augmentations make a good pretext task together?

Why it matters: the augmentations define what the features must not depend on; this is the ablation that found SimCLR's.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 3.1 and fig. 5.
Expected: no single one suffices; cropping with colour distortion stands out.
Cost: laptop 147 runs; not timed since a third seed and the flip were added. Nobody has timed the other profiles.

As in the paper, a crop comes with a flip, and only one view is augmented; the other is the picture itself. (The paper
crops both first, because its pictures differ in size; ours don't.) Few seeds for so many rows: what three can show is a
large difference.
"""

from unlabeled.platform.augment import (
    ColorDrop,
    ColorJitter,
    Crop,
    Cutout,
    Flip,
    GaussianBlur,
    GaussianNoise,
    Policy,
    Rotate90,
    Sobel,
    ViewPlan,
)
from unlabeled.platform.data import DataConfig
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import SIMCLR_RUN
from unlabeled.studies.tables import said

OPS = {
    "crop": (Crop(area=(0.08, 1.0)), Flip()),
    "cutout": (Cutout(),),
    "colour": (ColorJitter.of_strength(1.0), ColorDrop(p=0.2)),
    "Sobel": (Sobel(p=0.5),),
    "noise": (GaussianNoise(),),
    "blur": (GaussianBlur(sigma=(0.1, 2.0)),),
    "rotation": (Rotate90(),),
}
SAID = said("composition")
LAPTOP = SIMCLR_RUN["laptop"].with_field("data", DataConfig(name="emoji")).with_field("epochs", 12)


def plan(first: str, second: str) -> ViewPlan:
    """Return one view augmented by both, or once where they are the same, beside the picture itself."""
    ops = OPS[first] if first == second else (*OPS[first], *OPS[second])
    return ViewPlan(views=(Policy(ops=ops), Policy()))


STUDY = Study(
    name="augmentation-composition",
    question="Which two augmentations make a good pretext task together?",
    source=SAID["source"],
    expected="No single one suffices; cropping with colour distortion stands out.",
    cost="147 runs, not timed since a third seed and the flip were added",
    profiles={**SIMCLR_RUN, "laptop": LAPTOP},
    rows={f"{first} then {second}": {"method.views": plan(first, second)} for first in OPS for second in OPS},
    seeds=(0, 1, 2),
    claims=(
        Claim(
            statement="Cropping and colour together beat cropping alone.",
            higher="crop then colour",
            lower="crop then crop",
            **SAID,
        ),
        Claim(
            statement="Cropping and colour together beat colour alone.",
            higher="crop then colour",
            lower="colour then colour",
            **SAID,
        ),
        Claim(
            statement="Cropping and colour together beat cropping and rotation.",
            higher="crop then colour",
            lower="crop then rotation",
            **SAID,
        ),
        Claim(
            statement="Cropping and colour stand out: in one order or the other, no pair is better.",
            best=("crop then colour", "colour then crop"),
            **SAID,
        ),
    ),
)
