"""Does a projection head help, and must it be non-linear?

Why it matters: the head is thrown away after pretraining, and yet decides how good the layer before it becomes.
Source: Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 4.2 and fig. 8.
Expected: non-linear beats linear by about three points, and none by more than ten.
Cost: laptop 9 runs x 50 s, two at once on two cores. The other profiles follow the papers; nobody has timed them.
"""

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.augment import SIMCLR, SIMCLR_SMALL, two_views
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.encoder import EncoderConfig
from unlabeled.platform.optim import LARS, AdamW
from unlabeled.platform.study import Claim, Published, Study

SOURCE = "Chen et al. 2020, arXiv:2002.05709, sec. 4.2 and fig. 8"

STUDY = Study(
    name="projection-head",
    question="Does a projection head help, and must it be non-linear?",
    source=SOURCE,
    expected="A non-linear head beats a linear one by about 3 points, and no head by more than 10.",
    cost="laptop: 9 runs, about 5 minutes on two cores",
    profiles={
        "laptop": RunConfig(
            method=SimCLRConfig(views=two_views(SIMCLR_SMALL), temperature=0.2),
            data=DataConfig(name="fashion-mnist-12k", train_images=5000),
            optimizer=AdamW(learning_rate=2e-3, warmup_epochs=1),
            epochs=8,
        ),
        "workstation": RunConfig(
            method=SimCLRConfig(views=two_views(SIMCLR_SMALL), temperature=0.5),
            data=DataConfig(name="cifar10"),
            encoder=EncoderConfig(name="resnet18"),
            optimizer=LARS(learning_rate=1.0, warmup_epochs=10),
            epochs=100,
            batch_size=512,
        ),
        "cluster": RunConfig(
            method=SimCLRConfig(views=two_views(SIMCLR), temperature=0.1),
            data=DataConfig(name="imagenet"),
            encoder=EncoderConfig(name="resnet50"),
            optimizer=LARS(learning_rate=0.3, warmup_epochs=10),
            epochs=100,
            batch_size=4096,
        ),
    },
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
