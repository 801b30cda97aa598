"""Which temperature, and does the loss need unit vectors?

Why it matters: the temperature decides how much the hardest negatives count.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 5.1 and table 5.
Expected: unit vectors at a temperature of 0.1 do best; without them the contrastive task is solved better, and the
features are worse.
Cost: laptop 30 runs, about 10 minutes on two cores. Nobody has timed the other profiles.
"""

from unlabeled.platform.study import Claim, Published, Study
from unlabeled.studies.bases import SIMCLR_RUN
from unlabeled.studies.tables import numbers

SOURCE = "Chen et al. 2020, arXiv:2002.05709, table 5"
SETTING = "ImageNet, ResNet-50, batch 4096, 100 epochs"
PRETEXT, ENTROPY = "contrast/top1", "contrast/entropy"
CASES = {
    "unit, 0.05": {"l2_norm": "1", "temperature": "0.05"},
    "unit, 0.1": {"l2_norm": "1", "temperature": "0.1"},
    "unit, 0.5": {"l2_norm": "1", "temperature": "0.5"},
    "unit, 1": {"l2_norm": "1", "temperature": "1"},
    "not unit, 10": {"l2_norm": "0", "temperature": "10"},
    "not unit, 100": {"l2_norm": "0", "temperature": "100"},
}

STUDY = Study(
    name="temperature",
    question="Which temperature, and does the loss need unit vectors?",
    source=SOURCE,
    expected="Unit vectors at 0.1 do best; without them the pretext task is solved better and the features are worse.",
    cost="30 runs, about 10 minutes on two cores, at laptop scale",
    profiles=SIMCLR_RUN,
    seeds=(0, 1, 2, 3, 4),
    rows={
        row: {"method.cosine": cells["l2_norm"] == "1", "method.temperature": float(cells["temperature"])}
        for row, cells in CASES.items()
    },
    also=(PRETEXT, ENTROPY),
    published=tuple(
        Published(
            source=SOURCE,
            setting=SETTING,
            quantity=quantity,
            rows=numbers("simclr_temperature", column, CASES),
            measure=measure,
        )
        for measure, column, quantity in (
            ("", "top1", "linear probe top-1, %"),
            (PRETEXT, "contrastive_acc", "contrastive accuracy, %"),
            (ENTROPY, "entropy", "entropy of the choice among candidates"),
        )
    ),
    claims=(
        Claim(
            statement="0.1 beats 1.",
            source=SOURCE,
            higher="unit, 0.1",
            lower="unit, 1",
            published="64.4 against 58.0",
        ),
        Claim(
            statement="0.1 beats 0.05: smaller is not always better.",
            source=SOURCE,
            higher="unit, 0.1",
            lower="unit, 0.05",
            published="64.4 against 59.7",
        ),
        Claim(
            statement="Unit vectors make better features.",
            source=SOURCE,
            higher="unit, 0.1",
            lower="not unit, 10",
            published="64.4 against 57.2",
        ),
        Claim(
            statement="Without unit vectors, the pretext task is solved better.",
            source=SOURCE,
            higher="not unit, 10",
            lower="unit, 0.1",
            measure=PRETEXT,
            published="91.7 against 87.8",
        ),
        Claim(
            statement="A higher temperature spreads the choice over more candidates.",
            source=SOURCE,
            higher="unit, 1",
            lower="unit, 0.1",
            measure=ENTROPY,
            published="8.3 against 4.5",
        ),
    ),
)
