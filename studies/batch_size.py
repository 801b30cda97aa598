"""Do larger batches learn better, and do more epochs make up for a small one?

Why it matters: SimCLR's negatives are the rest of the batch, so a larger batch compares with more of them; but a small
batch takes more steps in as many epochs.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 5.2, fig. 9 and table B.1.
Expected: with few epochs larger batches win clearly; with many the gap shrinks or goes.
Cost: laptop 30 runs; 18 of them took 31 minutes on two cores with AVX2. Nobody has timed the other profiles.

The learning rate grows with the batch, as in fig. 9: the gap is one of that rule. Where it grows with the batch's root
(table B.1), small batches do better and the gap hardly changes with the epochs. The laptop's optimiser is AdamW, the
paper's LARS; both rules are for the latter.
"""

from collections.abc import Mapping
from itertools import product

from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import SIMCLR_RUN, changed
from unlabeled.studies.tables import Column, gap_against

BATCHES, EPOCHS = ("small", "medium", "large"), ("few", "many")


def rows(batches: tuple[int, int, int], epochs: tuple[int, int]) -> dict[str, Mapping[str, int]]:
    """Return the grid for a scale: row -> its batch and epochs."""
    return {
        f"{size} batch, {length} epochs": {"batch_size": batch, "epochs": epoch}
        for (length, epoch), (size, batch) in product(
            zip(EPOCHS, epochs, strict=True), zip(BATCHES, batches, strict=True)
        )
    }


CLUSTER = rows((256, 1024, 8192), (100, 800))
CASES = {row: {"batch": str(fields["batch_size"]), "epochs": str(fields["epochs"])} for row, fields in CLUSTER.items()}
TABLE, BY_THE_ROOT = (Column("simclr_batch_size", rule, CASES) for rule in ("linear_scaling", "sqrt_scaling"))
AS_THERE = "batches of 256, 1,024 and 8,192, for 100 and 800 epochs"
FEW, MANY = (
    ("large batch, few epochs", "small batch, few epochs"),
    ("large batch, many epochs", "small batch, many epochs"),
)

STUDY = Study(
    name="batch-size",
    question="Do larger batches learn better, and do more epochs make up for a small one?",
    source=TABLE.source,
    expected="With few epochs larger batches win clearly; with many the gap shrinks or goes.",
    cost="30 runs, of which 18 took 31 minutes on two cores with AVX2",
    profiles=changed(SIMCLR_RUN, {"optimizer.scaling": "linear"}),
    seeds=(0, 1, 2, 3, 4),
    rows=rows((64, 256, 1024), (4, 16)),
    scaled={"workstation": rows((128, 512, 2048), (100, 500)), "cluster": CLUSTER},
    published=(TABLE.beside(note=AS_THERE), BY_THE_ROOT.beside(note=AS_THERE)),
    claims=(
        TABLE.claim("With few epochs, a large batch learns better than a small one.", *FEW),
        TABLE.claim(
            "With few epochs, a medium batch learns better than a small one.",
            "medium batch, few epochs",
            "small batch, few epochs",
        ),
        TABLE.claim(
            "A small batch learns better with more epochs.", "small batch, many epochs", "small batch, few epochs"
        ),
        TABLE.claim(
            "A large batch learns better with more epochs.", "large batch, many epochs", "large batch, few epochs"
        ),
        Claim(
            statement="With more epochs the gap between a large batch and a small one shrinks.",
            kind="difference of differences",
            higher=FEW[0],
            lower=FEW[1],
            than=MANY,
            **gap_against(*(TABLE[row] for row in (*FEW, *MANY))),
        ),
    ),
)
