"""How wide must the projection be, and is the layer before the head really the better one?

Why it matters: the head's output is what the loss sees; if its width hardly matters, it is not a bottleneck that helps.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 4.2 and fig. 8.
Expected: with a head, the output's width hardly matters; the layer before the head beats the head's output by far.
Cost: laptop 18 runs, about 6 minutes on two cores. Nobody has timed the other profiles.
"""

from unlabeled.platform.evaluate import KNN, Linear, every
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import SIMCLR_RUN, changed
from unlabeled.studies.tables import said

LAYERS, WIDTH = said("before-over-after-the-head"), said("head-width")
BEFORE, AFTER = "test/linear/top1", "test/head/linear/top1"


def heads(hidden: int, widths: tuple[int, ...]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return linear and non-linear heads of each output width."""
    return {
        **{f"linear, {width}": {"method.head": (width,)} for width in widths},
        **{f"non-linear, {width}": {"method.head": (hidden, width)} for width in widths},
    }


STUDY = Study(
    name="projection-width",
    question="How wide must the projection be, and is the layer before the head really the better one?",
    source=WIDTH["source"],
    expected="With a head, the width hardly matters; the layer before it beats its output by far.",
    cost="18 runs, about 6 minutes on two cores, at laptop scale",
    profiles=changed(SIMCLR_RUN, {"evaluation.final": every((KNN(), Linear()), layers=("", "head"))}),
    rows=heads(256, (32, 128, 512)),
    scaled={"workstation": heads(512, (32, 128, 512)), "cluster": heads(2048, (32, 128, 512))},
    measure=BEFORE,
    also=(AFTER,),
    claims=(
        Claim(
            statement="The layer before the head beats the head's output.",
            higher="non-linear, 128",
            lower="non-linear, 128",
            lower_measure=AFTER,
            **LAYERS,
        ),
        *(
            Claim(
                statement=f"With a {head} head, an output four times as wide is no better.",
                kind="no difference",
                higher=f"{head}, 512",
                lower=f"{head}, 128",
                **WIDTH,
            )
            for head in ("linear", "non-linear")
        ),
        *(
            Claim(
                statement=f"With a {head} head, an output a quarter as wide is no worse.",
                kind="no difference",
                higher=f"{head}, 128",
                lower=f"{head}, 32",
                **WIDTH,
            )
            for head in ("linear", "non-linear")
        ),
    ),
)
