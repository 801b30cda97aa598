"""Which way of sharing pictures out among clusters makes the best features, and what do small crops add?

Why it matters: a label that a network gives itself is worth something only while it is not the same for all pictures;
each of these methods has another way to see to that.
Source: the README of facebookresearch/swav, whose models are those of Caron, Misra, Mairal, Goyal, Bojanowski, Joulin
(2020), arXiv:2006.09882; Chen et al. (2020), arXiv:2002.05709, table 6, has local aggregation.
Expected: SwAV beats local aggregation; small crops help it by far, twice the epochs a little, and a small batch with a
queue does as well as a large one. DeepCluster and noise as targets, which are older, fall behind SwAV.
Cost: laptop 21 runs. Nobody has timed them, nor the other profiles.

The README's DeepCluster is a second version, with a head, two views and small crops; here it is the first, so that no
published number stands beside it. All see the same pictures as often; small crops come on top of the two large ones.
"""

from unlabeled.methods.clustering.swav import SwAVConfig
from unlabeled.platform.augment import SIMCLR_SMALL, Crop, ViewPlan
from unlabeled.platform.metrics import OURS
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.tables import Column, against
from unlabeled.studies.tasks import CLUSTERS, PAIR, TASKS

CROPS = {"batch": "4096", "crops": "2x224 + 6x96"}
SWAV = Column(
    "swav_clustering",
    "imagenet_acc",
    {
        "SwAV": {"method": "SwAV", "crops": "2x224"},
        "SwAV, small crops": {"method": "SwAV", "epochs": "400", **CROPS},
        "small crops, half the epochs": {"method": "SwAV", "epochs": "200", **CROPS},
        "small crops, small batch, queue": {"method": "SwAV", "epochs": "400", "batch": "256"},
    },
    others=("method", "epochs", "batch", "crops"),
)
OLDER = Column("simclr_imagenet", "top1", {"local aggregation": {"method": "Local Agg."}})
SMALL_CROP = SIMCLR_SMALL.replacing(Crop(area=(0.05, 0.3), size=16))
WITH_SMALL = SwAVConfig(views=ViewPlan(views=(*PAIR.views, *(SMALL_CROP,) * 4)), head=(256, 128), prototypes=128)


def rows(epochs: int) -> dict[str, dict[str, object]]:
    """Return the rows where all but one train for so many epochs."""
    return {
        **{row: dict(CLUSTERS[row]) for row in ("NAT", "DeepCluster", "local aggregation", "SwAV")},
        "SwAV, small crops": {"method": WITH_SMALL},
        "small crops, half the epochs": {"method": WITH_SMALL, "epochs": epochs // 2},
        "small crops, small batch, queue": {"method": WITH_SMALL.with_field("queue", 256), "batch_size": 32},
    }


STUDY = Study(
    name="clustering",
    question="Which way of sharing pictures out among clusters makes the best features, and what do small crops add?",
    source=SWAV.source,
    expected="SwAV beats the older ways; small crops help by far, twice the epochs a little; small batches do as well.",
    cost="21 runs, nobody has timed them",
    profiles=TASKS,
    rows=rows(TASKS["laptop"].epochs),
    scaled={scale: rows(TASKS[scale].epochs) for scale in ("workstation", "cluster")},
    also=("untrained/linear/top1", "system/training_seconds"),
    published=(SWAV.beside(note="DeepCluster and SeLa in second versions"), OLDER.beside()),
    claims=(
        SWAV.claim("Small crops beside the large ones help.", "SwAV, small crops", "SwAV"),
        SWAV.claim("Twice the epochs help.", "SwAV, small crops", "small crops, half the epochs"),
        SWAV.claim(
            "A small batch with a queue does as well as a large one.",
            "SwAV, small crops",
            "small crops, small batch, queue",
            kind="no difference",
        ),
        Claim(
            statement="Codes that share out prototypes evenly beat local aggregation.",
            higher="SwAV",
            lower="local aggregation",
            **against(SWAV["SwAV"], OLDER["local aggregation"]),
        ),
        Claim(
            statement="Codes made anew in each batch beat k-means now and then.",
            higher="SwAV",
            lower="DeepCluster",
            source=OURS,
        ),
        Claim(
            statement="Prototypes that learn beat targets that are drawn by chance.",
            higher="SwAV",
            lower="NAT",
            source=OURS,
        ),
    ),
)
