"""Which of MoCo v2's changes helps: the MLP head, the stronger augmentation, the schedule, or more epochs?

Why it matters: version 2 is version 1 with three things taken over from SimCLR, and no large batch.
Source: Chen, Fan, Girshick, He (2020), arXiv:2003.04297, table 1.
Expected: the head alone gives 5.6 points, the augmentation alone 2.8, both 6.7, the schedule 0.2 more, four times the
epochs 3.6 more.
Cost: laptop 30 runs, about 18 minutes on two cores. Nobody has timed the other profiles.
"""

from unlabeled.platform.augment import MOCO_V1, MOCO_V1_SMALL, MOCO_V2, MOCO_V2_SMALL, ViewPlan, two_views
from unlabeled.platform.study import Claim, Published, Study
from unlabeled.studies.bases import MOCO_RUN
from unlabeled.studies.tables import numbers

SOURCE = "Chen et al. 2020, arXiv:2003.04297, table 1"
CASES = {
    "v1": "MoCo v1",
    "MLP head": "(a)",
    "aug+": "(b)",
    "both": "(c)",
    "both, cosine": "(d)",
    "both, cosine, 4x": "(e)",
}


def rows(v1: ViewPlan, v2: ViewPlan, head: tuple[int, ...], epochs: int) -> dict[str, dict[str, object]]:
    """Return the table's cases for a scale."""
    linear, plain = {"method.head": head[-1:], "method.views": v1}, {"optimizer.schedule": "steps"}
    mlp, aug = {"method.head": head}, {"method.views": v2}
    return {
        "v1": {**linear, **plain},
        "MLP head": {**linear, **mlp, **plain},
        "aug+": {**linear, **aug, **plain},
        "both": {**linear, **mlp, **aug, **plain},
        "both, cosine": {**mlp, **aug, "optimizer.schedule": "cosine"},
        "both, cosine, 4x": {**mlp, **aug, "optimizer.schedule": "cosine", "epochs": 4 * epochs},
    }


def better(higher: str, lower: str, what: str, points: str) -> Claim:
    """Claim that one case beats another."""
    return Claim(statement=what, source=SOURCE, higher=higher, lower=lower, published=points)


STUDY = Study(
    name="moco-ablation",
    question="Which of MoCo v2's changes helps: the MLP head, the stronger augmentation, the schedule, or more epochs?",
    source=SOURCE,
    expected="The head helps most, then the augmentation; both add up; the schedule adds little, more epochs more.",
    cost="30 runs, about 18 minutes on two cores, at laptop scale",
    profiles=MOCO_RUN,
    seeds=(0, 1, 2, 3, 4),
    rows=rows(two_views(MOCO_V1_SMALL), two_views(MOCO_V2_SMALL), (256, 128), MOCO_RUN["laptop"].epochs),
    scaled={
        "workstation": rows(two_views(MOCO_V1_SMALL), two_views(MOCO_V2_SMALL), (512, 128), 200),
        "cluster": rows(two_views(MOCO_V1), two_views(MOCO_V2), (2048, 128), 200),
    },
    published=(
        Published(
            source=SOURCE,
            setting="ImageNet, ResNet-50, linear probe top-1; 200 epochs, the last row 800",
            quantity="top-1, %",
            rows=numbers("moco_v2_ablation", "imagenet_acc", {row: {"case": case} for row, case in CASES.items()}),
        ),
    ),
    claims=(
        better("MLP head", "v1", "The MLP head alone improves on version 1.", "66.2 against 60.6"),
        better("aug+", "v1", "The stronger augmentation alone improves on version 1.", "63.4 against 60.6"),
        better("both", "MLP head", "The augmentation adds to the head.", "67.3 against 66.2"),
        better("both, cosine", "both", "The cosine schedule adds to both.", "67.5 against 67.3"),
        better("both, cosine, 4x", "both, cosine", "Four times the epochs add to all of it.", "71.1 against 67.5"),
    ),
)
