"""Does an adversarial loss help a context encoder's features, or only its pictures?

Why it matters: of what surrounds a hole many fillings would do; the L2 loss paints their blurred mean, a discriminator
asks for one that looks real. Which of the two teaches features is another question than which paints better.
Source: Pathak, Krahenbuhl, Donahue, Darrell, Efros (2016), arXiv:1604.07379, sec. 3.2 and 5.2, table 2.
Expected: reconstruction teaches features; the adversarial loss alone does not, as nothing ties its painting to the
picture. The paper shows that both together paint sharper, which no probe sees, and says nothing of their features: its
adversarial loss did not converge with AlexNet, so the features that it tests are by reconstruction alone.
Random blocks teach better features than the centre.
Cost: laptop 12 runs; not timed since the fourth row was added. Nobody has timed the other profiles; the larger ones
take the paper's learning rate.

All scales hide random blocks, and one row the centre: the paper's features are from random regions, here from blocks,
as no regions of random shape are built in.
"""

from unlabeled.methods.masked.context_encoder import ContextEncoderConfig
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.encoder import TimmConfig
from unlabeled.platform.metrics import OURS
from unlabeled.platform.optim import AdamW
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import FLIPPED
from unlabeled.studies.tables import Column, said

SOURCE = "Pathak et al. 2016, arXiv:1604.07379, sec. 3.2 and 5.2"
TABLE, DETECTION, SEGMENTATION = (
    Column("context_encoder_voc", column, {"reconstruction": {"method": "Context encoder"}}, others=("method",))
    for column in ("classification", "detection", "segmentation")
)
PAINTED = "inpaint/reconstruction"  # the L2 loss of the last epoch, whether or not it was trained on

STUDY = Study(
    name="inpainting-loss",
    question="Does an adversarial loss help a context encoder's features, or only its pictures?",
    source=SOURCE,
    expected="Reconstruction teaches features, the adversarial loss alone does not; of both together the paper shows "
    "sharper pictures, and no features.",
    cost="12 runs, not timed since the fourth row was added",
    profiles={
        "laptop": RunConfig(
            method=ContextEncoderConfig(views=FLIPPED, region="blocks", width=64),
            data=DataConfig(name="emoji"),
            optimizer=AdamW(learning_rate=2e-3, warmup_epochs=1),
            epochs=20,
            batch_size=64,
        ),
        "workstation": RunConfig(
            method=ContextEncoderConfig(region="blocks"),
            data=DataConfig(name="cifar10"),
            encoder=TimmConfig(model="resnet18"),
            optimizer=AdamW(learning_rate=1e-3, warmup_epochs=1),
            epochs=100,
        ),
        "cluster": RunConfig(
            method=ContextEncoderConfig(region="blocks"),
            data=DataConfig(name="imagenet"),
            encoder=TimmConfig(model="resnet50"),
            optimizer=AdamW(learning_rate=1e-3, warmup_epochs=1),
            epochs=100,
        ),
    },
    rows={
        "reconstruction": {"method.loss": "reconstruction"},
        "adversarial": {"method.loss": "adversarial"},
        "joint": {"method.loss": "joint"},
        "reconstruction, centre": {"method.loss": "reconstruction", "method.region": "centre"},
    },
    also=(PAINTED,),
    published=(TABLE.beside(), DETECTION.beside(), SEGMENTATION.beside()),
    claims=(
        Claim(
            statement="Reconstruction teaches features that the adversarial loss alone does not.",
            source=OURS,
            higher="reconstruction",
            lower="adversarial",
        ),
        Claim(
            statement="The adversarial loss alone does not tie the painting to the picture: its L2 error is larger.",
            source=OURS,
            higher="adversarial",
            lower="joint",
            measure=PAINTED,
        ),
        Claim(
            statement="Painting random blocks teaches better features than painting the centre.",
            higher="reconstruction",
            lower="reconstruction, centre",
            **said("blocks-over-centre"),
        ),
    ),
)
