"""How slowly must MoCo's key network follow?

Why it matters: the queue holds keys of many past steps; they can be compared only if the network that made them
changes slowly.
Source: He, Fan, Wu, Xie, Girshick (2020), arXiv:1911.05722, sec. 4.1.
Expected: 0.99 to 0.9999 work, 0.9 drops considerably, 0 does not converge.
Cost: laptop 25 runs, about 11 minutes on two cores. Nobody has timed the other profiles.

The key network forgets over about 1 / (1 - m) steps. The paper's runs are a million steps long; a laptop's are some
hundred, in which m 0.999 would hardly move it. So the laptop takes values whose forgetting spans the same places
between one step and the whole run: 0, 0.5, 0.9, 0.97 and 0.99 for 0, 0.9, 0.99, 0.999 and 0.9999.
"""

from unlabeled.platform.study import Claim, Published, Study
from unlabeled.studies.bases import MOCO_RUN
from unlabeled.studies.tables import numbers

SOURCE = "He et al. 2020, arXiv:1911.05722, sec. 4.1"
ROWS = {"none": "0", "low": "0.9", "medium": "0.99", "high": "0.999", "very high": "0.9999"}
LAPTOP = (0.0, 0.5, 0.9, 0.97, 0.99)

STUDY = Study(
    name="momentum",
    question="How slowly must MoCo's key network follow?",
    source=SOURCE,
    expected="Slowly: medium to very high momentum work, low drops considerably, none does not converge.",
    cost="25 runs, about 11 minutes on two cores, at laptop scale",
    profiles=MOCO_RUN,
    seeds=(0, 1, 2, 3, 4),
    rows={row: {"method.momentum": momentum} for row, momentum in zip(ROWS, LAPTOP, strict=True)},
    scaled={
        "workstation": {
            row: {"method.momentum": momentum}
            for row, momentum in zip(ROWS, (0.0, 0.9, 0.97, 0.99, 0.999), strict=True)
        },
        "cluster": {row: {"method.momentum": float(momentum)} for row, momentum in ROWS.items()},
    },
    published=(
        Published(
            source=SOURCE,
            setting="ImageNet, ResNet-50, queue of 4,096, linear probe top-1",
            quantity="top-1, % (m 0, 0.9, 0.99, 0.999, 0.9999)",
            rows=numbers("moco_momentum", "imagenet_acc", {row: {"momentum": m} for row, m in ROWS.items()}),
        ),
    ),
    claims=(
        Claim(
            statement="High momentum beats low.",
            source=SOURCE,
            higher="high",
            lower="low",
            published="59.0 against 55.2",
        ),
        Claim(
            statement="Without momentum, training fails: even low momentum is better.",
            source=SOURCE,
            higher="low",
            lower="none",
            published="55.2 against no convergence",
        ),
        Claim(
            statement="High momentum beats none by far.",
            source=SOURCE,
            higher="high",
            lower="none",
            at_least=0.02,
            published="59.0 against no convergence",
        ),
    ),
)
