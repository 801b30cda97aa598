"""Does stronger colour distortion help SimCLR, and does it help supervised learning too?

Why it matters: self-supervised learning lives of augmentation that supervised learning would do without.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 3.2 and table 1.
Expected: SimCLR gains from stronger colour distortion up to strength 1, supervised learning loses.
Cost: laptop 24 runs, about 8 minutes on two cores. Nobody has timed the other profiles. The laptop takes the emoji,
whose colours tell something. No scale blurs: in the table blur is a column of its own.
"""

from unlabeled.methods.supervised.classifier import SupervisedConfig
from unlabeled.platform.augment import ViewPlan, simclr, two_views
from unlabeled.platform.data import DataConfig
from unlabeled.platform.study import Study
from unlabeled.studies.bases import SIMCLR_RUN
from unlabeled.studies.tables import Column, beside

STRENGTHS = {"1/8": 0.125, "1/4": 0.25, "1/2": 0.5, "1": 1.0}
LAPTOP = SIMCLR_RUN["laptop"].with_field("data", DataConfig(name="emoji")).with_field("epochs", 16)


SIMCLR, SUPERVISED = (
    Column("simclr_color_strength", column, {f"{learning}, {name}": {"strength": name} for name in STRENGTHS})
    for learning, column in (("SimCLR", "simclr"), ("supervised", "supervised"))
)


def rows() -> dict[str, dict[str, object]]:
    """Return a row for each strength and kind of learning, without blur."""
    found: dict[str, dict[str, object]] = {}
    for name, strength in STRENGTHS.items():
        found[f"SimCLR, {name}"] = {"method.views": two_views(simclr(strength, small=True))}
    for name, strength in STRENGTHS.items():
        view = ViewPlan(views=(simclr(strength, small=True),))
        found[f"supervised, {name}"] = {"method": SupervisedConfig(views=view)}
    return found


STUDY = Study(
    name="color-strength",
    question="Does stronger colour distortion help SimCLR, and does it help supervised learning too?",
    source=SIMCLR.source,
    expected="SimCLR gains from stronger colour distortion up to full strength, supervised learning loses.",
    cost="24 runs, about 8 minutes on two cores, at laptop scale",
    profiles={**SIMCLR_RUN, "laptop": LAPTOP},
    rows=rows(),
    published=(beside(SIMCLR, SUPERVISED),),
    claims=(
        SIMCLR.claim("SimCLR gains from full colour distortion over an eighth of it.", "SimCLR, 1", "SimCLR, 1/8"),
        SUPERVISED.claim("Supervised learning loses by it.", "supervised, 1/8", "supervised, 1"),
    ),
)
