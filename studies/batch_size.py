"""Do larger batches learn better, and do more epochs make up for a small one?

Why it matters: SimCLR's negatives are the rest of the batch, so a larger batch compares with more of them; but a small
batch takes more steps in as many epochs.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 5.2 and fig. 9.
Expected: with few epochs larger batches win clearly; with many the gap shrinks or goes.
Cost: laptop 30 runs, about 12 minutes on two cores. Nobody has timed the other profiles. The learning rate grows with
the root of the batch, as in the paper's app. B.1.
"""

from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import SIMCLR_RUN, changed

SOURCE = "Chen et al. 2020, arXiv:2002.05709, sec. 5.2 and fig. 9"
PUBLISHED = "said in words: larger batches win with few epochs, and the gap shrinks or goes with more"

STUDY = Study(
    name="batch-size",
    question="Do larger batches learn better, and do more epochs make up for a small one?",
    source=SOURCE,
    expected="With few epochs larger batches win clearly; with many the gap shrinks or goes.",
    cost="30 runs, about 12 minutes on two cores, at laptop scale",
    profiles=changed(SIMCLR_RUN, {"optimizer.scaling": "sqrt"}),
    seeds=(0, 1, 2, 3, 4),
    rows={
        "small batch, few epochs": {"batch_size": 64, "epochs": 4},
        "medium batch, few epochs": {"batch_size": 256, "epochs": 4},
        "large batch, few epochs": {"batch_size": 1024, "epochs": 4},
        "small batch, many epochs": {"batch_size": 64, "epochs": 16},
        "medium batch, many epochs": {"batch_size": 256, "epochs": 16},
        "large batch, many epochs": {"batch_size": 1024, "epochs": 16},
    },
    scaled={
        "workstation": {
            f"{size} batch, {length} epochs": {"batch_size": batch, "epochs": epochs}
            for size, batch in (("small", 128), ("medium", 512), ("large", 2048))
            for length, epochs in (("few", 100), ("many", 500))
        },
        "cluster": {
            f"{size} batch, {length} epochs": {"batch_size": batch, "epochs": epochs}
            for size, batch in (("small", 256), ("medium", 1024), ("large", 8192))
            for length, epochs in (("few", 100), ("many", 800))
        },
    },
    claims=(
        Claim(
            statement="With few epochs, a large batch learns better than a small one.",
            source=SOURCE,
            higher="large batch, few epochs",
            lower="small batch, few epochs",
            published=PUBLISHED,
        ),
        Claim(
            statement="With few epochs, a medium batch learns better than a small one.",
            source=SOURCE,
            higher="medium batch, few epochs",
            lower="small batch, few epochs",
            published=PUBLISHED,
        ),
        Claim(
            statement="A small batch learns better with more epochs.",
            source=SOURCE,
            higher="small batch, many epochs",
            lower="small batch, few epochs",
            published=PUBLISHED,
        ),
        Claim(
            statement="A large batch learns better with more epochs.",
            source=SOURCE,
            higher="large batch, many epochs",
            lower="large batch, few epochs",
            published=PUBLISHED,
        ),
    ),
)
