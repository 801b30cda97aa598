"""What does the projection head throw away?

Why it matters: the layer before the head is the better one, because the loss makes the head forget how a picture was
changed, which other tasks may need.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 4.2 and table 3.
Expected: the layer before the head tells rotations, noise and Sobel filtering far better than the head's output.
Cost: laptop 3 runs; not timed since the head is wider. Nobody has timed the other profiles.

The laptop takes the emoji, for their colours. As in the paper, the changes are among the augmentations (here all at
once; whether there too, it does not say), and the head's output is as wide as its input. A linear probe tells the
changes here, where the paper trains an MLP; and grey is every second picture, there every fifth.
"""

from unlabeled.platform.augment import GaussianNoise, Rotate90, Sobel, simclr, two_views
from unlabeled.platform.config import EvaluationConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.evaluate import Linear, every
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import SIMCLR_RUN, changed
from unlabeled.studies.tables import Cell, Column, against

TASKS = {
    "grey": "Color vs grayscale",
    "rotation": "Rotation",
    "noise": "Orig. vs corrupted",
    "sobel": "Orig. vs Sobel filtered",
}
WORDS = {"grey": "grey pictures", "rotation": "rotations", "noise": "noise", "sobel": "Sobel filtering"}
BEFORE, AFTER = (
    {task: Column("simclr_h_vs_z", column, {"SimCLR": {"predict": words}}) for task, words in TASKS.items()}
    for column in ("h", "g_of_h")
)
EVALUATION = EvaluationConfig(final=every((Linear(),), layers=("", "head"), told=("class", *TASKS)))


def row(small: bool, width: int) -> dict[str, object]:
    """Return SimCLR with the changes among its views, and a head that is as wide as the encoder's output."""
    policy = simclr(0.5 if small else 1.0, small=small)
    changing = policy.plus(Rotate90()).plus(GaussianNoise(p=0.5)).plus(Sobel(p=0.5))
    return {"method.views": two_views(changing), "method.head": (width, width)}


def before(task: str) -> str:
    """Name the metric of the layer before the head."""
    return f"test/{task}/linear/top1"


def after(task: str) -> str:
    """Name the metric of the head's output."""
    return f"test/head/{task}/linear/top1"


STUDY = Study(
    name="what-the-head-forgets",
    question="What does the projection head throw away?",
    source=BEFORE["rotation"].source,
    expected="The layer before the head tells rotations, noise and Sobel filtering far better than the head's output.",
    cost="3 runs, not timed since the head is wider",
    profiles={
        **changed(SIMCLR_RUN, {"evaluation": EVALUATION}),
        "laptop": SIMCLR_RUN["laptop"]
        .with_field("data", DataConfig(name="emoji"))
        .with_field("epochs", 16)
        .with_field("evaluation", EVALUATION),
    },
    rows={"SimCLR": row(small=True, width=192)},
    scaled={
        "workstation": {"SimCLR": row(small=True, width=512)},
        "cluster": {"SimCLR": row(small=False, width=2048)},
    },
    measure=before("rotation"),
    also=tuple(metric(task) for task in TASKS for metric in (before, after) if metric(task) != before("rotation")),
    published=tuple(
        columns[task].beside(
            metric(task), note=f"guessing is right in {Cell.of('simclr_h_vs_z', 'chance', predict=words)} %"
        )
        for task, words in TASKS.items()
        for metric, columns in ((before, BEFORE), (after, AFTER))
    ),
    claims=tuple(
        Claim(
            statement=f"The layer before the head tells {WORDS[task]} better than the head's output.",
            higher="SimCLR",
            lower="SimCLR",
            measure=before(task),
            lower_measure=after(task),
            **against(BEFORE[task]["SimCLR"], AFTER[task]["SimCLR"]),
        )
        for task in TASKS
    ),
)
