"""Which temperature, and does the loss need unit vectors?

Why it matters: the temperature decides how much the hardest negatives count.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 5.1 and table 5.
Expected: unit vectors at a temperature of 0.1 do best; without them the contrastive task is solved better, and the
features are worse.
Cost: laptop 30 runs, about 10 minutes on two cores. Nobody has timed the other profiles.
"""

from unlabeled.platform.study import Study
from unlabeled.studies.bases import SIMCLR_RUN
from unlabeled.studies.tables import Column

PRETEXT, ENTROPY = "contrast/top1", "contrast/entropy"
CASES = {
    "unit, 0.05": {"l2_norm": "1", "temperature": "0.05"},
    "unit, 0.1": {"l2_norm": "1", "temperature": "0.1"},
    "unit, 0.5": {"l2_norm": "1", "temperature": "0.5"},
    "unit, 1": {"l2_norm": "1", "temperature": "1"},
    "not unit, 10": {"l2_norm": "0", "temperature": "10"},
    "not unit, 100": {"l2_norm": "0", "temperature": "100"},
}
UNIT = ("unit, 0.05", "unit, 0.1", "unit, 0.5", "unit, 1")
TOP1, CONTRASTIVE, CHOICE = (
    Column("simclr_temperature", name, CASES) for name in ("top1", "contrastive_acc", "entropy")
)

STUDY = Study(
    name="temperature",
    question="Which temperature, and does the loss need unit vectors?",
    source=TOP1.source,
    expected="Unit vectors at 0.1 do best; without them the pretext task is solved better and the features are worse.",
    cost="30 runs, about 10 minutes on two cores, at laptop scale",
    profiles=SIMCLR_RUN,
    seeds=(0, 1, 2, 3, 4),
    rows={
        row: {"method.cosine": cells["l2_norm"] == "1", "method.temperature": float(cells["temperature"])}
        for row, cells in CASES.items()
    },
    also=(PRETEXT, ENTROPY),
    published=(TOP1.beside(), CONTRASTIVE.beside(PRETEXT), CHOICE.beside(ENTROPY)),
    claims=(
        TOP1.best("A temperature of 0.1 is the best.", "unit, 0.1", among=UNIT),
        TOP1.claim("0.1 beats 1.", "unit, 0.1", "unit, 1"),
        TOP1.claim("0.1 beats 0.05: smaller is not always better.", "unit, 0.1", "unit, 0.05"),
        TOP1.claim("Unit vectors make better features.", "unit, 0.1", "not unit, 10"),
        CONTRASTIVE.claim(
            "Without unit vectors, the pretext task is solved better.", "not unit, 10", "unit, 0.1", measure=PRETEXT
        ),
        CHOICE.rising("The higher the temperature, the more candidates share the choice.", *UNIT, measure=ENTROPY),
    ),
)
