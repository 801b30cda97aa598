"""Do features that were learned without labels transfer to other pictures as well as supervised ones?

Why it matters: an encoder is pretrained once, and used on pictures that it has never seen.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 6 and table 8.
Expected: both beat training from scratch; SimCLR's is as good as the supervised one where the network is wide
(ResNet-50, 4x, table 8), and falls behind where it is not (ResNet-50, table B.5).
Cost: laptop 6 runs, about 4 minutes on two cores. Nobody has timed the other profiles.

The laptop pretrains on grey clothes and transfers to emoji, seen in grey at the clothes' size. The larger scales
transfer to CIFAR-100 too, which is one of the paper's twelve data sets.
"""

from unlabeled.methods.supervised.classifier import SupervisedConfig
from unlabeled.platform.augment import SIMCLR, SIMCLR_SMALL, Policy, ViewPlan
from unlabeled.platform.config import EvaluationConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.evaluate import FineTune, Linear
from unlabeled.platform.study import Claim, Published, Study
from unlabeled.studies.bases import SIMCLR_RUN
from unlabeled.studies.tables import numbers

SOURCE = "Chen et al. 2020, arXiv:2002.05709, sec. 6 and table 8"
NARROW = "Chen et al. 2020, arXiv:2002.05709, table B.5"
TUNED, SCRATCH = "test/emoji/fine-tune/top1", "untrained/emoji/fine-tune/top1"
EMOJI, CIFAR100 = DataConfig(name="emoji"), DataConfig(name="cifar100")
PROTOCOLS = {"fine-tune": "fine-tuned", "linear": "linear"}


def evaluation(tuning: FineTune, *transfer: DataConfig) -> EvaluationConfig:
    """Measure on the run's own data and on others, with the encoder frozen and fine-tuned."""
    return EvaluationConfig(final=(Linear(), tuning), transfer=transfer)


def supervised(policy: Policy) -> dict[str, object]:
    """Return a row that learns from labels, on one view of each picture."""
    return {"method": SupervisedConfig(views=ViewPlan(views=(policy,)))}


STUDY = Study(
    name="transfer",
    question="Do features that were learned without labels transfer to other pictures as well as supervised ones?",
    source=SOURCE,
    expected="Both beat training from scratch; SimCLR's is as good as the supervised one where the network is wide, "
    "and falls behind where it is not.",
    cost="6 runs, about 4 minutes on two cores, at laptop scale",
    profiles={
        "laptop": SIMCLR_RUN["laptop"].with_field("evaluation", evaluation(FineTune(), EMOJI)),
        "workstation": SIMCLR_RUN["workstation"].with_field(
            "evaluation", evaluation(FineTune(epochs=30), EMOJI, CIFAR100)
        ),
        "cluster": SIMCLR_RUN["cluster"].with_field("evaluation", evaluation(FineTune(epochs=30), EMOJI, CIFAR100)),
    },
    rows={"SimCLR": {}, "supervised": supervised(SIMCLR_SMALL)},
    scaled={"cluster": {"supervised": supervised(SIMCLR)}},
    measure=TUNED,
    also=(
        SCRATCH,
        "test/emoji/linear/top1",
        "test/linear/top1",
        "test/cifar100/fine-tune/top1",
        "test/cifar100/linear/top1",
    ),
    published=tuple(
        Published(
            source=SOURCE,
            setting="pretrained on ImageNet, ResNet-50 (4x), its supervised baseline trained at length",
            quantity="top-1 on CIFAR-100, %",
            rows=numbers(
                "simclr_transfer",
                "CIFAR100",
                {
                    "SimCLR": {"protocol": protocol, "method": "SimCLR"},
                    "supervised": {"protocol": protocol, "method": "Supervised"},
                },
            ),
            measure=f"test/cifar100/{probe}/top1",
        )
        for probe, protocol in PROTOCOLS.items()
    ),
    claims=(
        *(
            Claim(
                statement=f"{how} on other data, the supervised encoder is better than SimCLR's.",
                source=NARROW,
                higher="supervised",
                lower="SimCLR",
                measure=f"test/emoji/{probe}/top1",
                published=published,
            )
            for how, probe, published in (
                ("Fine-tuned", "fine-tune", "on 10 of 12 data sets with ResNet-50; tied with one 4 times as wide"),
                ("Frozen", "linear", "on all 12 data sets with ResNet-50"),
            )
        ),
        *(
            Claim(
                statement=f"{row} pretraining beats training from scratch on other data.",
                source=SOURCE,
                higher=row_name,
                lower=row_name,
                measure=TUNED,
                lower_measure=SCRATCH,
                published="on all 12 data sets",
            )
            for row_name, row in (("SimCLR", "SimCLR's"), ("supervised", "Supervised"))
        ),
    ),
)
