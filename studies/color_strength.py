"""Does stronger colour distortion help SimCLR, and does it help supervised learning too?

Why it matters: self-supervised learning lives of augmentation that supervised learning would do without.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 3.2 and table 1.
Expected: SimCLR gains from stronger colour distortion up to strength 1, supervised learning loses.
Cost: laptop 24 runs, about 8 minutes on two cores. Nobody has timed the other profiles. The laptop takes the emoji,
whose colours tell something; SimCLR's pictures there are small, so no blur.
"""

from unlabeled.methods.supervised.classifier import SupervisedConfig
from unlabeled.platform.augment import ViewPlan, simclr, two_views
from unlabeled.platform.data import DataConfig
from unlabeled.platform.study import Claim, Published, Study
from unlabeled.studies.bases import SIMCLR_RUN
from unlabeled.studies.tables import numbers

SOURCE = "Chen et al. 2020, arXiv:2002.05709, table 1"
STRENGTHS = {"1/8": 0.125, "1/4": 0.25, "1/2": 0.5, "1": 1.0}
LAPTOP = SIMCLR_RUN["laptop"].with_field("data", DataConfig(name="emoji")).with_field("epochs", 16)


def rows(small: bool) -> dict[str, dict[str, object]]:
    """Return a row for each strength and kind of learning."""
    found: dict[str, dict[str, object]] = {}
    for name, strength in STRENGTHS.items():
        found[f"SimCLR, {name}"] = {"method.views": two_views(simclr(strength, small=small))}
    for name, strength in STRENGTHS.items():
        view = ViewPlan(views=(simclr(strength, small=small),))
        found[f"supervised, {name}"] = {"method": SupervisedConfig(views=view)}
    return found


def published(prefix: str, column: str) -> dict[str, str]:
    """Read the table's column."""
    return numbers("simclr_color_strength", column, {f"{prefix}, {name}": {"strength": name} for name in STRENGTHS})


STUDY = Study(
    name="color-strength",
    question="Does stronger colour distortion help SimCLR, and does it help supervised learning too?",
    source=SOURCE,
    expected="SimCLR gains from stronger colour distortion up to strength 1, supervised learning loses.",
    cost="24 runs, about 8 minutes on two cores, at laptop scale",
    profiles={**SIMCLR_RUN, "laptop": LAPTOP},
    rows=rows(small=True),
    scaled={"cluster": rows(small=False)},
    published=(
        Published(
            source=SOURCE,
            setting="ImageNet, ResNet-50; SimCLR's linear probe, the supervised network's own accuracy",
            quantity="top-1, %",
            rows={**published("SimCLR", "simclr"), **published("supervised", "supervised")},
        ),
    ),
    claims=(
        Claim(
            statement="SimCLR gains from full colour distortion over an eighth of it.",
            source=SOURCE,
            higher="SimCLR, 1",
            lower="SimCLR, 1/8",
            published="63.2 against 59.6",
        ),
        Claim(
            statement="Supervised learning loses by it.",
            source=SOURCE,
            higher="supervised, 1/8",
            lower="supervised, 1",
            published="77.0 against 75.7",
        ),
    ),
)
