"""Which augmentations must features not be deaf to, and can one network keep them all?

Why it matters: whatever two views may differ in is forgotten; what is noise to one task is the answer to another.
Source: Xiao, Wang, Efros, Darrell (2020), arXiv:2008.05659, abstract and sec. 1.
Expected: with rotations among its views MoCo no longer tells which way is up; LooC, which keeps a space that is not
deaf to them, does, and is no worse at classes.
Cost: laptop 12 runs. Nobody has timed them, nor the other profiles.

The paper asks for classes of ImageNet-100 and of finer sets, and for rotations; here emoji's classes, rotations and
whether a picture lost its colours. All rows crop, mirror and change colours; probes read the encoder, which LooC's
spaces share.
"""

from typing import Any

from unlabeled.methods.contrastive.looc import COLOR, CROPPED, ROTATION, LooCConfig
from unlabeled.platform.augment import MOCO_V2, SIMCLR_SMALL, Policy, ViewPlan, two_views
from unlabeled.platform.config import EvaluationConfig
from unlabeled.platform.evaluate import Linear, every
from unlabeled.platform.metrics import OURS
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import MOCO_RUN, changed
from unlabeled.studies.tables import said
from unlabeled.studies.tasks import COLOR as SMALL_COLOR
from unlabeled.studies.tasks import INSTANCES, QUEUE, TASKS

CLASSES, TURNS, GREYS = "test/linear/top1", "test/rotation/linear/top1", "test/grey/linear/top1"
EVALUATION = EvaluationConfig(final=every((Linear(),), told=("class", "rotation", "grey")))
FORGETS, BEATS = said("looc-turned-forgets"), said("looc-beats-baselines")


def rows(views: Policy, shared: Policy, color: Policy, **fields: Any) -> dict[str, dict[str, Any]]:
    """Return MoCo and LooC with rotations among the views, and LooC with a space for colours, too.

    Args:
        views: all that views differ in but rotations.
        shared: of these, what there is no space for.
        color: of these, the changes of colours.
        fields: of LooC.
    """

    def looc(own: Policy, *augmentations: Policy) -> dict[str, Any]:
        plan = ViewPlan(views=(own,) * (2 + len(augmentations)))
        return {"method": LooCConfig(views=plan, augmentations=augmentations, **fields)}

    return {
        "MoCo": {},
        "MoCo, turned": {"method.views": two_views(views.plus(*ROTATION.ops))},
        "LooC, turned": looc(views, ROTATION),
        "LooC, turned and coloured": looc(shared, color, ROTATION),
    }


SMALL = {"method": INSTANCES["MoCo"]["method"], "evaluation": EVALUATION}

STUDY = Study(
    name="what-not-to-contrast",
    question="Which augmentations must features not be deaf to, and can one network keep them all?",
    source=FORGETS["source"],
    expected="With rotations among its views MoCo no longer tells which way is up; LooC does.",
    cost="12 runs, nobody has timed them",
    profiles={
        **changed({scale: TASKS[scale] for scale in ("laptop", "workstation")}, SMALL),
        "cluster": MOCO_RUN["cluster"].with_field("evaluation", EVALUATION),
    },
    rows=rows(SIMCLR_SMALL, Policy(ops=SIMCLR_SMALL.ops[:2]), SMALL_COLOR, **QUEUE),
    scaled={"cluster": rows(MOCO_V2, CROPPED, COLOR)},
    measure=TURNS,
    also=(CLASSES, GREYS),
    claims=(
        Claim(
            statement="With rotations among its views, MoCo tells less well which way is up.",
            higher="MoCo",
            lower="MoCo, turned",
            **FORGETS,
        ),
        Claim(
            statement="A space that is not deaf to rotations keeps them: LooC tells them better.",
            higher="LooC, turned",
            lower="MoCo, turned",
            **BEATS,
        ),
        Claim(
            statement="LooC tells classes better than MoCo with the same rotations.",
            higher="LooC, turned",
            lower="MoCo, turned",
            measure=CLASSES,
            **BEATS,
        ),
        Claim(
            statement="With a space for colours it tells better which pictures lost theirs.",
            higher="LooC, turned and coloured",
            lower="LooC, turned",
            measure=GREYS,
            source=OURS,
        ),
    ),
)
