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

from unlabeled.methods.contrastive.looc import ROTATION, LooCConfig
from unlabeled.methods.contrastive.moco import MoCoConfig
from unlabeled.platform.augment import MOCO_V2, SIMCLR_SMALL, Policy, ViewPlan, two_views
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.encoder import TimmConfig
from unlabeled.platform.evaluate import Linear, every
from unlabeled.platform.optim import SGD
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.tables import said
from unlabeled.studies.tasks import PAIR, QUEUE, TASKS

CLASSES, TURNS, GREYS = "test/linear/top1", "test/rotation/linear/top1", "test/grey/linear/top1"
EVALUATION = EvaluationConfig(final=every((Linear(),), told=("class", "rotation", "grey")))
FORGETS, BEATS = said("looc-turned-forgets"), said("looc-beats-baselines")
COLOR_OPS = ("color-jitter", "color-drop")


def rows(views: Policy, looc: LooCConfig) -> dict[str, dict[str, object]]:
    """Return MoCo and LooC, with and without rotations among the views, and with a space for colours."""
    color = Policy(ops=tuple(op for op in views.ops if op.name in COLOR_OPS))
    rest = Policy(ops=tuple(op for op in views.ops if op.name not in COLOR_OPS))
    turning = looc.with_field("augmentations", (ROTATION,)).with_field("views", ViewPlan(views=(views,) * 3))
    both = looc.with_field("augmentations", (color, ROTATION)).with_field("views", ViewPlan(views=(rest,) * 4))
    return {
        "MoCo": {},
        "MoCo, turned": {"method.views": two_views(views.plus(*ROTATION.ops))},
        "LooC, turned": {"method": turning},
        "LooC, turned and coloured": {"method": both},
    }


LAPTOP = TASKS["laptop"].with_field("method", MoCoConfig(views=PAIR, symmetric=True, **QUEUE))
SMALL_LOOC = LooCConfig(views=ViewPlan(views=PAIR.views * 2), augmentations=(ROTATION, ROTATION), **QUEUE)

STUDY = Study(
    name="what-not-to-contrast",
    question="Which augmentations must features not be deaf to, and can one network keep them all?",
    source=FORGETS["source"],
    expected="With rotations among its views MoCo no longer tells which way is up; LooC does.",
    cost="12 runs, nobody has timed them",
    profiles={
        "laptop": LAPTOP.with_field("evaluation", EVALUATION),
        "workstation": TASKS["workstation"].with_field("method", LAPTOP.method).with_field("evaluation", EVALUATION),
        "cluster": RunConfig(
            method=MoCoConfig(views=two_views(MOCO_V2)),
            data=DataConfig(name="imagenet"),
            encoder=TimmConfig(model="resnet50"),
            optimizer=SGD(learning_rate=0.03, weight_decay=1e-4),
            epochs=200,
            evaluation=EVALUATION,
        ),
    },
    rows=rows(SIMCLR_SMALL, SMALL_LOOC),
    scaled={"cluster": rows(MOCO_V2, LooCConfig())},
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
            **BEATS,
        ),
    ),
)
