"""How slowly must MoCo's key network follow?

Why it matters: the queue holds keys of many past steps; they can be compared only if the network that made them
changes slowly.
Source: He, Fan, Wu, Xie, Girshick (2020), arXiv:1911.05722, sec. 4.1.
Expected: medium to very high momentum works, low drops considerably, none does not converge.
Cost: laptop 25 runs, about 11 minutes on two cores. Nobody has timed the other profiles.

The key network forgets over about 1 / (1 - m) steps. The paper's runs are a million steps long; a laptop's are some
hundred, in which m 0.999 would hardly move it. So the laptop takes values whose forgetting spans the same places
between one step and the whole run: 0, 0.5, 0.9, 0.97 and 0.99 for 0, 0.9, 0.99, 0.999 and 0.9999. The cluster runs the
table's own setting, version 1 with a queue of 4,096; the smaller scales have version 2's head and views.
"""

from unlabeled.methods.contrastive.moco import MoCoConfig
from unlabeled.platform.study import Study
from unlabeled.studies.bases import MOCO_RUN
from unlabeled.studies.tables import Column

ROWS = {"none": "0", "low": "0.9", "medium": "0.99", "high": "0.999", "very high": "0.9999"}
LAPTOP = (0.0, 0.5, 0.9, 0.97, 0.99)
TABLE = Column("moco_momentum", "imagenet_acc", {row: {"momentum": momentum} for row, momentum in ROWS.items()})
VERSION_1 = MoCoConfig.v1().with_field("queue", 4096)  # the table's; its schedule is in steps, as all of version 1

STUDY = Study(
    name="momentum",
    question="How slowly must MoCo's key network follow?",
    source=TABLE.source,
    expected="Slowly: medium to very high momentum work, low drops considerably, none does not converge.",
    cost="25 runs, about 11 minutes on two cores, at laptop scale",
    profiles={
        **MOCO_RUN,
        "cluster": MOCO_RUN["cluster"].with_field("method", VERSION_1).with_field("optimizer.schedule", "steps"),
    },
    seeds=(0, 1, 2, 3, 4),
    rows={row: {"method.momentum": momentum} for row, momentum in zip(ROWS, LAPTOP, strict=True)},
    scaled={
        "workstation": {
            row: {"method.momentum": momentum}
            for row, momentum in zip(ROWS, (0.0, 0.9, 0.97, 0.99, 0.999), strict=True)
        },
        "cluster": {row: {"method.momentum": float(momentum)} for row, momentum in ROWS.items()},
    },
    published=(TABLE.beside(note="momentum of 0, 0.9, 0.99, 0.999 and 0.9999"),),
    claims=(
        TABLE.claim("High momentum beats low.", "high", "low"),
        TABLE.collapse("Without momentum, training fails.", "none"),
        TABLE.claim("High momentum beats none by far.", "high", "none", at_least=0.02),
    ),
)
