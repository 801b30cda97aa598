"""Do features that were learned without labels transfer to other pictures as well as supervised ones?

Why it matters: an encoder is pretrained once, and used on pictures that it has never seen.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 6 and table 8.
Expected: both beat training from scratch; SimCLR's is as good as the supervised one where the network is wide
(ResNet-50, 4x, table 8), and falls behind where it is not (ResNet-50, table B.5).
Cost: laptop 6 runs, about 4 minutes on two cores. Nobody has timed the other profiles.

The laptop pretrains on grey clothes and transfers to emoji, seen in grey at the clothes' size. The larger scales
transfer to CIFAR-100 too, the cluster also to CIFAR-10, two of the paper's twelve data sets. The published numbers are
of the cluster's network, ResNet-50, and of one four times as wide. The paper searches settings for each data set and
trains its baselines for 1,000 epochs; here both encoders have the base's epochs and one setting.
"""

import itertools

from unlabeled.methods.supervised.classifier import SupervisedConfig
from unlabeled.platform.augment import SIMCLR, SIMCLR_SMALL, Policy, ViewPlan
from unlabeled.platform.config import EvaluationConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.evaluate import FineTune, Linear, every
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import SIMCLR_RUN
from unlabeled.studies.tables import Column, said

TUNED, SCRATCH = "test/emoji/fine-tune/top1", "untrained/emoji/fine-tune/top1"
EMOJI, CIFAR10, CIFAR100 = (DataConfig(name=name) for name in ("emoji", "cifar10", "cifar100"))
OTHERS = {"cifar100": "CIFAR100", "cifar10": "CIFAR10"}
PROTOCOLS = {"fine-tune": "fine-tuned", "linear": "linear"}
TABLES = ("simclr_transfer_resnet50", "simclr_transfer")  # the cluster's network, and one four times as wide
METHODS = {"SimCLR": "SimCLR", "supervised": "Supervised"}


def evaluation(tuning: FineTune, *transfer: DataConfig) -> EvaluationConfig:
    """Measure on the run's own data and on others, with the encoder frozen and fine-tuned."""
    return EvaluationConfig(final=every((Linear(), tuning), data=(None, *transfer)))


def supervised(policy: Policy) -> dict[str, object]:
    """Return a row that learns from labels, on one view of each picture."""
    return {"method": SupervisedConfig(views=ViewPlan(views=(policy,)))}


def published(table: str, data: str, probe: str) -> Column:
    """Read what was published of one of the paper's data sets."""
    cells = {row: {"protocol": PROTOCOLS[probe], "method": method} for row, method in METHODS.items()}
    return Column(table, OTHERS[data], cells)


def from_scratch(table: str, data: str) -> Column:
    """Read what a network from random weights was published to reach; it is the same for both rows."""
    cells = {"protocol": "fine-tuned", "method": "Random init"}
    return Column(table, OTHERS[data], dict.fromkeys(METHODS, cells))


STUDY = Study(
    name="transfer",
    question="Do features that were learned without labels transfer to other pictures as well as supervised ones?",
    source="Chen et al. 2020, arXiv:2002.05709, sec. 6, table 8 and table B.5",
    expected="Both beat training from scratch; SimCLR's is as good as the supervised one where the network is wide, "
    "and falls behind where it is not.",
    cost="6 runs, about 4 minutes on two cores, at laptop scale",
    profiles={
        "laptop": SIMCLR_RUN["laptop"].with_field("evaluation", evaluation(FineTune(), EMOJI)),
        "workstation": SIMCLR_RUN["workstation"].with_field(
            "evaluation", evaluation(FineTune(epochs=30), EMOJI, CIFAR100)
        ),
        "cluster": SIMCLR_RUN["cluster"].with_field(
            "evaluation", evaluation(FineTune(epochs=30), EMOJI, CIFAR100, CIFAR10)
        ),
    },
    rows={"SimCLR": {}, "supervised": supervised(SIMCLR_SMALL)},
    scaled={"cluster": {"supervised": supervised(SIMCLR)}},
    measure=TUNED,
    also=(
        SCRATCH,
        "test/emoji/linear/top1",
        "test/linear/top1",
        *(f"test/{data}/{probe}/top1" for data in OTHERS for probe in PROTOCOLS),
        *(f"untrained/{data}/fine-tune/top1" for data in OTHERS),
    ),
    published=(
        *(
            published(table, data, probe).beside(f"test/{data}/{probe}/top1")
            for data, probe, table in itertools.product(OTHERS, PROTOCOLS, TABLES)
        ),
        *(
            from_scratch(table, data).beside(f"untrained/{data}/fine-tune/top1")
            for data, table in itertools.product(OTHERS, TABLES)
        ),
    ),
    claims=(
        *(
            Claim(
                statement=f"{how} on other data, the supervised encoder is better than SimCLR's.",
                higher="supervised",
                lower="SimCLR",
                measure=f"test/emoji/{probe}/top1",
                **said(finding),
            )
            for how, probe, finding in (
                ("Fine-tuned", "fine-tune", "transfer-tuned"),
                ("Frozen", "linear", "transfer-linear"),
            )
        ),
        *(
            Claim(
                statement=f"{row} pretraining beats training from scratch on other data.",
                higher=row_name,
                lower=row_name,
                measure=TUNED,
                lower_measure=SCRATCH,
                **said(f"transfer-{row_name.lower()}-over-scratch"),
            )
            for row_name, row in (("SimCLR", "SimCLR's"), ("supervised", "Supervised"))
        ),
    ),
)
