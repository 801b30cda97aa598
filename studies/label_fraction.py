"""What is pretraining worth when only some of the pictures have labels?

Why it matters: labels are what costs, and pictures are not; so an encoder should learn from all pictures what it can,
and need few labels for the rest.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 6, table B.4 and app. B.2.
Expected: fine-tuning the pretrained encoder beats training from scratch on the same labels, by far with 1 % of them, by
less with 10 %, and with all of them not at all in a ResNet-50, by one or two points in wider ones.
Cost: laptop 10 runs, about 10 minutes on two cores. Nobody has timed the other profiles.

From scratch is fine-tuning of the untrained encoder: it starts from the weights that pretraining starts from, and has
the same labels in the same order.
"""

from unlabeled.platform.augment import Crop, Flip, Policy
from unlabeled.platform.config import EvaluationConfig
from unlabeled.platform.evaluate import FineTune, Linear
from unlabeled.platform.metrics import OURS
from unlabeled.platform.optim import SGD
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import MOCO_RUN, SIMCLR_RUN
from unlabeled.studies.tables import Column, against, said

SHARES = {0.01: "1 % of the labels", 0.1: "10 % of the labels", 1.0: "all labels"}
ARCHITECTURE = ("method", "architecture")
SIMCLR = {"method": "SimCLR", "architecture": "ResNet-50"}
BASELINE = {"method": "Supervised baseline", "architecture": "ResNet-50"}


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


PRETRAINED, FROM_SCRATCH = (
    {
        share: Column("simclr_semi_supervised_top1", f"top1_{100 * share:g}pct", {"SimCLR": cells}, others=ARCHITECTURE)
        for share in SHARES
        if share < 1
    }
    for cells in (SIMCLR, BASELINE)
)
TOP5 = {
    share: Column("simclr_semi_supervised", f"top5_{100 * share:g}pct", {"SimCLR": SIMCLR}, others=ARCHITECTURE)
    for share in PRETRAINED
}

OF_SIMCLR = FineTune(  # app. B.5; there the batch is 4,096, by the same rule, and 1 % of the labels are passed 60 times
    epochs=30,
    min_steps=0,
    batch_size=256,
    optimizer=SGD(learning_rate=0.05, scaling="linear", weight_decay=0.0),
    augmentation=Policy(ops=(Crop(area=(0.08, 1.0)), Flip())),
)

STUDY = Study(
    name="label-fraction",
    question="What is pretraining worth when only some of the pictures have labels?",
    source="Chen et al. 2020, arXiv:2002.05709, sec. 6, table B.4 and app. B.2",
    expected="Fine-tuning the pretrained encoder beats training from scratch, by less the more labels there are, and "
    "with all of them not at all, unless the network is wider than usual.",
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
        columns[share].beside(metric(share))
        for share in PRETRAINED
        for columns, metric in ((PRETRAINED, tuned), (FROM_SCRATCH, scratch), (TOP5, tuned))
    ),
    claims=(
        *(
            Claim(
                statement=f"With {SHARES[share]}, fine-tuning the pretrained encoder beats training from scratch.",
                higher="SimCLR",
                lower="SimCLR",
                measure=tuned(share),
                lower_measure=scratch(share),
                **against(PRETRAINED[share]["SimCLR"], FROM_SCRATCH[share]["SimCLR"]),
            )
            for share in PRETRAINED
        ),
        Claim(
            statement="With all labels, fine-tuning the pretrained encoder is no better than training from scratch.",
            kind="no difference",
            higher="SimCLR",
            lower="SimCLR",
            measure=tuned(1.0),
            lower_measure=scratch(1.0),
            **said("labels-all"),
        ),
        Claim(
            statement="Even with all labels, fine-tuning the pretrained encoder beats training from scratch.",
            source=OURS,
            higher="SimCLR",
            lower="SimCLR",
            measure=tuned(1.0),
            lower_measure=scratch(1.0),
        ),
    ),
)
