"""Does a projection head help, and must it be non-linear?

Why it matters: the head is thrown away after pretraining, and yet decides how good the layer before it becomes.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 4.2 and fig. 8.
Expected: non-linear beats linear by about three points, and none by more than ten.
Cost: laptop 9 runs, about 5 minutes on two cores. Nobody has timed the other profiles.
"""

from unlabeled.platform.study import Claim, Published, Study
from unlabeled.studies.bases import SIMCLR_RUN

SOURCE = "Chen et al. 2020, arXiv:2002.05709, sec. 4.2 and fig. 8"

STUDY = Study(
    name="projection-head",
    question="Does a projection head help, and must it be non-linear?",
    source=SOURCE,
    expected="A non-linear head beats a linear one by about 3 points, and no head by more than 10.",
    cost="9 runs, about 5 minutes on two cores, at laptop scale",
    profiles=SIMCLR_RUN,
    rows={
        "none": {"method.head": ()},
        "linear": {"method.head": (128,)},
        "non-linear": {"method.head": (256, 128)},
    },
    published=(
        Published(
            source=SOURCE,
            setting="ImageNet, ResNet-50, linear probe top-1",
            quantity="points against the non-linear head",
            rows={"none": "more than 10 lower", "linear": "about 3 lower", "non-linear": "best"},
        ),
    ),
    claims=(
        Claim(
            statement="A projection head beats none: a linear head is better than no head.",
            source=SOURCE,
            higher="linear",
            lower="none",
            published="about 7 points (more than 10, less about 3)",
        ),
        Claim(
            statement="A non-linear head beats none.",
            source=SOURCE,
            higher="non-linear",
            lower="none",
            published="more than 10 points",
        ),
        Claim(
            statement="A non-linear head beats a linear one.",
            source=SOURCE,
            higher="non-linear",
            lower="linear",
            published="about 3 points",
        ),
    ),
)
