"""Of the methods that tell images from each other, which makes the best features?

Why it matters: they differ in where the other images come from (a bank, a queue, the batch, the picture's own patches)
and in what a picture must agree with; the last of them, SimCLR, says that none of their machinery is needed.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, table 6.
Expected: of those with a ResNet-50, from local aggregation over MoCo, PIRL and CPC v2 to SimCLR; AMDIM and CMC, with
larger networks, come near the best; all beat telling rotations, and the exemplars that they descend from.
Cost: laptop 30 runs. Nobody has timed them, nor the other profiles.

The paper's rows are each authors' own, with their views, epochs and tricks; here all have one encoder, data and number
of passes, and what a row sets is its method. Exemplars are from CPC's table 3, of another network.
"""

from unlabeled.platform.metrics import OURS
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.tables import Column, against
from unlabeled.studies.tasks import CLUSTERS, INNATE, INSTANCES, PREDICTION, TASKS

RESNET50 = {
    "local aggregation": "Local Agg.",
    "MoCo": "MoCo",
    "PIRL": "PIRL",
    "CPC v2": "CPC v2",
    "SimCLR": "SimCLR",
}
OTHERS = {
    "rotation": ("Rotation", "RevNet-50 (4x)"),
    "AMDIM": ("AMDIM", "Custom-ResNet"),
    "CMC": ("CMC", "ResNet-50 (2x)"),
}
TABLE = Column(
    "simclr_imagenet",
    "top1",
    {row: {"method": method, "architecture": "ResNet-50"} for row, method in RESNET50.items()}
    | {row: {"method": method, "architecture": architecture} for row, (method, architecture) in OTHERS.items()},
    others=("method", "architecture"),
)
EXEMPLAR = Column("cpc_vision", "top1", {"exemplars": {"method": "Exemplar"}})
KNOWN = {**INNATE, **PREDICTION, **INSTANCES, **CLUSTERS}
ROWS = {row: KNOWN[row] for row in ("exemplars", "rotation", *RESNET50, "AMDIM", "CMC", "instance discrimination")}

STUDY = Study(
    name="exemplar-and-instance",
    question="Of the methods that tell images from each other, which makes the best features?",
    source=TABLE.source,
    expected="From local aggregation over MoCo, PIRL and CPC v2 to SimCLR; all beat rotations, and exemplars.",
    cost="30 runs, nobody has timed them",
    profiles=TASKS,
    rows=ROWS,
    also=("untrained/linear/top1", "system/training_seconds"),
    published=(TABLE.beside(), EXEMPLAR.beside()),
    claims=(
        TABLE.rising("They got better in this order, with one architecture.", *RESNET50),
        TABLE.best("SimCLR is the best of those with one architecture.", "SimCLR", among=tuple(RESNET50)),
        *(
            TABLE.claim(f"{row} beats telling rotations.", row, "rotation")
            for row in ("SimCLR", "PIRL", "AMDIM", "CMC")
        ),
        Claim(
            statement="Exemplars, a class for each image, fall behind contrast: SimCLR beats them.",
            higher="SimCLR",
            lower="exemplars",
            **against(TABLE["SimCLR"], EXEMPLAR["exemplars"]),
        ),
        Claim(
            statement="Instance discrimination with a bank beats a classifier with a weight for each image.",
            higher="instance discrimination",
            lower="exemplars",
            source=OURS,
        ),
    ),
)
