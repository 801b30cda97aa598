"""Does MoCo v2 beat SimCLR at the same batch size, and does a large batch help SimCLR?

Why it matters: MoCo takes its negatives from a queue, SimCLR from the batch; so SimCLR should need a large batch.
Source: Chen, Fan, Girshick, He (2020), arXiv:2003.04297, table 2.
Expected: MoCo v2 beats version 1, and SimCLR at the same batch and at a large one; a large batch helps SimCLR much.
Cost: laptop 18 runs; not timed since rows were added. Nobody has timed the other profiles.

Version 1 runs at its own temperature, and its learning rate falls in steps, as in the table. SimCLR has its own
optimiser, LARS, whose rate grows with the batch, as its numbers there come from SimCLR's fig. 9; on a laptop both have
AdamW. Long is four times the epochs for MoCo, and five times with half of the large batch for SimCLR.
"""

from unlabeled.platform.augment import MOCO_V1, MOCO_V1_SMALL, ViewPlan, two_views
from unlabeled.platform.study import Study
from unlabeled.studies.bases import MOCO_RUN, MOCO_V1_TEMPERATURE, SIMCLR_RUN
from unlabeled.studies.tables import Column

CASES = {
    "MoCo v1": {"case": "MoCo v1"},
    "MoCo v2": {"case": "MoCo v2", "epochs": "200"},
    "SimCLR, small batch": {"case": "SimCLR", "batch": "256"},
    "SimCLR, large batch": {"case": "SimCLR", "batch": "8192"},
    "MoCo v2, long": {"case": "MoCo v2", "epochs": "800"},
    "SimCLR, long": {"case": "SimCLR", "epochs": "1000"},
}
TABLE = Column("moco_vs_simclr", "imagenet_acc", CASES)


def rows(profile: str, v1: ViewPlan, large: int, small: int = 256) -> dict[str, dict[str, object]]:
    """Return the table's cases for a scale."""
    moco = MOCO_RUN[profile]
    simclr = {field: getattr(SIMCLR_RUN[profile], field) for field in ("method", "optimizer")}
    return {
        "MoCo v1": {
            "method.views": v1,
            "method.head": (128,),
            "method.temperature": MOCO_V1_TEMPERATURE,
            "optimizer.schedule": "steps",
            "batch_size": small,
        },
        "MoCo v2": {"batch_size": small},
        "SimCLR, small batch": {**simclr, "batch_size": small},
        "SimCLR, large batch": {**simclr, "batch_size": large},
        "MoCo v2, long": {"batch_size": small, "epochs": 4 * moco.epochs},
        "SimCLR, long": {**simclr, "batch_size": large // 2, "epochs": 5 * moco.epochs},
    }


STUDY = Study(
    name="moco-vs-simclr",
    question="Does MoCo v2 beat SimCLR at the same batch size, and does a large batch help SimCLR?",
    source=TABLE.source,
    expected="MoCo v2 beats SimCLR at the same batch and at a large one; a large batch closes most of the gap.",
    cost="18 runs, not timed since rows were added",
    profiles=MOCO_RUN,
    rows=rows("laptop", two_views(MOCO_V1_SMALL), 1024),
    scaled={
        "workstation": rows("workstation", two_views(MOCO_V1_SMALL), 2048),
        "cluster": rows("cluster", two_views(MOCO_V1), 8192),
    },
    published=(TABLE.beside(),),
    claims=(
        TABLE.claim("MoCo v2 beats MoCo v1.", "MoCo v2", "MoCo v1"),
        TABLE.claim("At the same small batch, MoCo v2 beats SimCLR.", "MoCo v2", "SimCLR, small batch"),
        TABLE.claim("With a small batch, MoCo v2 beats SimCLR with a large one.", "MoCo v2", "SimCLR, large batch"),
        TABLE.claim("A large batch helps SimCLR.", "SimCLR, large batch", "SimCLR, small batch"),
        TABLE.claim("Trained for long, MoCo v2 still beats SimCLR.", "MoCo v2, long", "SimCLR, long"),
    ),
)
