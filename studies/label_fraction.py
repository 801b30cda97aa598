"""What is pretraining worth when only some of the pictures have labels?

Why it matters: labels are what costs, and pictures are not; so an encoder should learn from all pictures what it can,
and need few labels for the rest.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 6 and table 7.
Expected: fine-tuning the pretrained encoder beats training from scratch on the same labels, by far with 1 % of them, by
less with 10 %, and by a little with all.
Cost: laptop 10 runs, about 10 minutes on two cores. Nobody has timed the other profiles.

From scratch is fine-tuning of the untrained encoder: it starts from the weights that pretraining starts from, and has
the same labels in the same order.
"""

from unlabeled.platform.augment import Crop, Flip, Policy
from unlabeled.platform.config import EvaluationConfig
from unlabeled.platform.evaluate import FineTune, Linear
from unlabeled.platform.optim import SGD
from unlabeled.platform.study import Claim, Published, Study
from unlabeled.studies.bases import MOCO_RUN, SIMCLR_RUN
from unlabeled.studies.tables import numbers

SOURCE = "Chen et al. 2020, arXiv:2002.05709, sec. 6 and table 7"
SETTING = "ImageNet, ResNet-50; top-5, where here it is top-1"
SHARES = {0.01: "1 % of the labels", 0.1: "10 % of the labels", 1.0: "all labels"}
WINS = {
    0.01: "48.3 against 25.4, top-1 (arXiv:2006.10029, table 3)",
    0.1: "65.6 against 56.4, top-1 (arXiv:2006.10029, table 3)",
    1.0: "up to 2 points, with wider networks",
}


def tuned(share: float) -> str:
    """Name the metric of the fine-tuned encoder."""
    return f"test/{FineTune(labels=share).key}/top1"


def scratch(share: float) -> str:
    """Name the metric of the network that is trained from scratch."""
    return f"untrained/{FineTune(labels=share).key}/top1"


def evaluation(tuning: FineTune) -> EvaluationConfig:
    """Measure by fine-tuning and by a linear probe, with each share of the labels."""
    shares = [probe.with_field("labels", share) for share in SHARES for probe in (tuning, Linear())]
    return EvaluationConfig(final=tuple(shares))


OF_SIMCLR = FineTune(  # app. B.5; there the batch is 4,096, by the same rule, and 1 % of the labels are passed 60 times
    epochs=30,
    least_steps=0,
    batch_size=256,
    optimizer=SGD(learning_rate=0.05, scaling="linear", weight_decay=0.0),
    augmentation=Policy(ops=(Crop(area=(0.08, 1.0)), Flip())),
)

STUDY = Study(
    name="label-fraction",
    question="What is pretraining worth when only some of the pictures have labels?",
    source=SOURCE,
    expected="Fine-tuning the pretrained encoder beats training from scratch on the same labels, and by less the more "
    "labels there are.",
    cost="10 runs, about 10 minutes on two cores, at laptop scale",
    profiles={
        "laptop": SIMCLR_RUN["laptop"].with_field("evaluation", evaluation(FineTune())),
        "workstation": SIMCLR_RUN["workstation"].with_field("evaluation", evaluation(FineTune(epochs=30))),
        "cluster": SIMCLR_RUN["cluster"].with_field("evaluation", evaluation(OF_SIMCLR)),
    },
    seeds=(0, 1, 2, 3, 4),
    rows={"SimCLR": {}, "MoCo v2": {"method": MOCO_RUN["laptop"].method}},
    scaled={
        profile: {
            "MoCo v2": {
                field: getattr(MOCO_RUN[profile], field) for field in ("method", "optimizer", "epochs", "batch_size")
            }
        }
        for profile in ("workstation", "cluster")
    },
    measure=tuned(0.01),
    also=(
        *(tuned(share) for share in (0.1, 1.0)),
        *(scratch(share) for share in SHARES),
        *(f"test/{Linear(labels=share).key}/top1" for share in SHARES),
    ),
    published=tuple(
        Published(
            source=SOURCE,
            setting=SETTING,
            quantity="top-5, %",
            rows=numbers("simclr_semi_supervised", column, {"SimCLR": {"method": method, "architecture": "ResNet-50"}}),
            measure=metric(share),
        )
        for share, column in ((0.01, "top5_1pct"), (0.1, "top5_10pct"))
        for metric, method in ((tuned, "SimCLR"), (scratch, "Supervised baseline"))
    ),
    claims=tuple(
        Claim(
            statement=f"With {words}, fine-tuning the pretrained encoder beats training from scratch.",
            source=SOURCE,
            higher="SimCLR",
            lower="SimCLR",
            measure=tuned(share),
            lower_measure=scratch(share),
            published=WINS[share],
        )
        for share, words in SHARES.items()
    ),
)
