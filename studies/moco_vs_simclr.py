"""Does MoCo v2 beat SimCLR at the same batch size, and does a large batch help SimCLR?

Why it matters: MoCo takes its negatives from a queue, SimCLR from the batch; so SimCLR should need a large batch.
Source: Chen, Fan, Girshick, He (2020), arXiv:2003.04297, table 2.
Expected: MoCo v2 beats version 1 by 6.9 points and SimCLR at batch 256 by 5.6; a batch of 8,192 gives SimCLR 4.7.
Cost: laptop 12 runs, about 5 minutes on two cores. Nobody has timed the other profiles.
"""

from unlabeled.platform.augment import MOCO_V1, MOCO_V1_SMALL, ViewPlan, two_views
from unlabeled.platform.method import MethodConfig
from unlabeled.platform.study import Claim, Published, Study
from unlabeled.studies.bases import MOCO_RUN, SIMCLR_RUN
from unlabeled.studies.tables import numbers

SOURCE = "Chen et al. 2020, arXiv:2003.04297, table 2"
CASES = {
    "MoCo v1": {"case": "MoCo v1"},
    "MoCo v2": {"case": "MoCo v2", "epochs": "200"},
    "SimCLR, small batch": {"case": "SimCLR", "batch": "256"},
    "SimCLR, large batch": {"case": "SimCLR", "batch": "8192"},
}


def rows(
    v1: ViewPlan, head: tuple[int, ...], simclr: MethodConfig, batches: tuple[int, int]
) -> dict[str, dict[str, object]]:
    """Return the table's cases for a scale."""
    small, large = batches
    return {
        "MoCo v1": {"method.views": v1, "method.head": head[-1:], "batch_size": small},
        "MoCo v2": {"batch_size": small},
        "SimCLR, small batch": {"method": simclr, "batch_size": small},
        "SimCLR, large batch": {"method": simclr, "batch_size": large},
    }


STUDY = Study(
    name="moco-vs-simclr",
    question="Does MoCo v2 beat SimCLR at the same batch size, and does a large batch help SimCLR?",
    source=SOURCE,
    expected="MoCo v2 beats SimCLR at the same batch; a large batch helps SimCLR and closes most of the gap.",
    cost="12 runs, about 5 minutes on two cores, at laptop scale",
    profiles=MOCO_RUN,
    rows=rows(two_views(MOCO_V1_SMALL), (256, 128), SIMCLR_RUN["laptop"].method, (256, 1024)),
    scaled={
        "workstation": rows(two_views(MOCO_V1_SMALL), (512, 128), SIMCLR_RUN["workstation"].method, (256, 2048)),
        "cluster": rows(two_views(MOCO_V1), (2048, 128), SIMCLR_RUN["cluster"].method, (256, 8192)),
    },
    published=(
        Published(
            source=SOURCE,
            setting="ImageNet, ResNet-50, linear probe top-1, 200 epochs",
            quantity="top-1, %",
            rows=numbers("moco_vs_simclr", "imagenet_acc", CASES),
        ),
    ),
    claims=(
        Claim(
            statement="MoCo v2 beats MoCo v1.",
            source=SOURCE,
            higher="MoCo v2",
            lower="MoCo v1",
            published="67.5 against 60.6",
        ),
        Claim(
            statement="At the same small batch, MoCo v2 beats SimCLR.",
            source=SOURCE,
            higher="MoCo v2",
            lower="SimCLR, small batch",
            published="67.5 against 61.9",
        ),
        Claim(
            statement="A large batch helps SimCLR.",
            source=SOURCE,
            higher="SimCLR, large batch",
            lower="SimCLR, small batch",
            published="66.6 against 61.9",
        ),
    ),
)
