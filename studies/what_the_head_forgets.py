"""What does the projection head throw away?

Why it matters: the layer before the head is the better one, because the loss makes the head forget how a picture was
changed, which other tasks may need.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 4.2 and table 3.
Expected: the layer before the head tells rotations, noise and Sobel filtering far better than the head's output.
Cost: laptop 3 runs, about 3 minutes on two cores. Nobody has timed the other profiles. The laptop takes the emoji, for
their colours. As in the paper, all these changes are among the augmentations. A linear probe tells the changes here,
where the paper trains an MLP.
"""

from unlabeled.platform.augment import GaussianNoise, Rotate90, Sobel, ViewPlan, simclr, two_views
from unlabeled.platform.config import EvaluationConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.evaluate import Linear
from unlabeled.platform.study import Claim, Published, Study
from unlabeled.studies.bases import SIMCLR_RUN, changed
from unlabeled.studies.tables import numbers

SOURCE = "Chen et al. 2020, arXiv:2002.05709, table 3"
TASKS = {
    "grey": "Color vs grayscale",
    "rotation": "Rotation",
    "noise": "Orig. vs corrupted",
    "sobel": "Orig. vs Sobel filtered",
}
EVALUATION = EvaluationConfig(layers=("head",), transformations=tuple(TASKS), final=(Linear(),))


def views(small: bool) -> ViewPlan:
    """Return SimCLR's views with the changes added that the head is asked about."""
    policy = simclr(0.5 if small else 1.0, small=small)
    return two_views(policy.plus(Rotate90()).plus(GaussianNoise(p=0.5)).plus(Sobel(p=0.5)))


def before(task: str) -> str:
    """Name the metric of the layer before the head."""
    return f"test/{task}/linear/top1"


def after(task: str) -> str:
    """Name the metric of the head's output."""
    return f"test/head/{task}/linear/top1"


STUDY = Study(
    name="what-the-head-forgets",
    question="What does the projection head throw away?",
    source=SOURCE,
    expected="The layer before the head tells rotations, noise and Sobel filtering far better than the head's output.",
    cost="3 runs, about 3 minutes on two cores, at laptop scale",
    profiles={
        **changed(SIMCLR_RUN, {"evaluation": EVALUATION}),
        "laptop": SIMCLR_RUN["laptop"]
        .with_field("data", DataConfig(name="emoji"))
        .with_field("epochs", 16)
        .with_field("evaluation", EVALUATION),
    },
    rows={"SimCLR": {"method.views": views(small=True)}},
    scaled={"cluster": {"SimCLR": {"method.views": views(small=False)}}},
    measure=before("rotation"),
    also=tuple(metric(task) for task in TASKS for metric in (before, after) if metric(task) != before("rotation")),
    published=tuple(
        Published(
            source=SOURCE,
            setting="ImageNet, ResNet-50; grey pictures one time in five, where here it is one in two",
            quantity="accuracy, %",
            rows=numbers("simclr_h_vs_z", column, {"SimCLR": {"predict": words}}),
            measure=metric(task),
        )
        for task, words in TASKS.items()
        for metric, column in ((before, "h"), (after, "g_of_h"))
    ),
    claims=tuple(
        Claim(
            statement=f"The layer before the head tells {words} better than the head's output.",
            source=SOURCE,
            higher="SimCLR",
            lower="SimCLR",
            measure=before(task),
            lower_measure=after(task),
            published=published,
        )
        for task, words, published in (
            ("grey", "grey pictures", "99.3 against 97.4"),
            ("rotation", "rotations", "67.6 against 25.6"),
            ("noise", "noise", "99.5 against 59.6"),
            ("sobel", "Sobel filtering", "96.6 against 56.3"),
        )
    ),
)
