"""Does an adversarial loss help a context encoder's features, or only its pictures?

Why it matters: of what surrounds a hole many fillings would do; the L2 loss paints their blurred mean, a discriminator
asks for one that looks real. Which of the two teaches features is another question than which paints better.
Source: Pathak, Krahenbuhl, Donahue, Darrell, Efros (2016), arXiv:1604.07379, sec. 3.2 and 5.2, table 2.
Expected: reconstruction teaches features; the adversarial loss alone does not, as nothing ties its painting to the
picture. The paper shows that both together paint sharper, which no probe sees, and says nothing of their features: its
adversarial loss did not converge with AlexNet, so the features that it tests are by reconstruction alone.
Cost: laptop 9 runs, about 5 minutes on two cores. Nobody has timed the other profiles; the larger ones take the paper's
learning rate.
"""

from unlabeled.methods.masked.context_encoder import ContextEncoderConfig
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.encoder import EncoderConfig
from unlabeled.platform.optim import AdamW
from unlabeled.platform.study import Claim, Published, Study
from unlabeled.studies.bases import FLIPPED
from unlabeled.studies.tables import numbers

SOURCE = "Pathak et al. 2016, arXiv:1604.07379, sec. 3.2 and 5.2"
TABLE = "Pathak et al. 2016, arXiv:1604.07379, table 2"
PAINTED = "inpaint/reconstruction"  # the L2 loss of the last epoch, whether or not it was trained on

STUDY = Study(
    name="inpainting-loss",
    question="Does an adversarial loss help a context encoder's features, or only its pictures?",
    source=SOURCE,
    expected="Reconstruction teaches features, the adversarial loss alone does not; of both together the paper shows "
    "sharper pictures, and no features.",
    cost="9 runs, about 5 minutes on two cores, at laptop scale",
    profiles={
        "laptop": RunConfig(
            method=ContextEncoderConfig(views=FLIPPED, region="blocks", width=64),
            data=DataConfig(name="emoji"),
            optimizer=AdamW(learning_rate=2e-3, warmup_epochs=1),
            epochs=20,
            batch_size=64,
        ),
        "workstation": RunConfig(
            method=ContextEncoderConfig(),
            data=DataConfig(name="cifar10"),
            encoder=EncoderConfig(name="resnet18"),
            optimizer=AdamW(learning_rate=1e-3, warmup_epochs=1),
            epochs=100,
        ),
        "cluster": RunConfig(
            method=ContextEncoderConfig(),
            data=DataConfig(name="imagenet"),
            encoder=EncoderConfig(name="resnet50"),
            optimizer=AdamW(learning_rate=1e-3, warmup_epochs=1),
            epochs=100,
        ),
    },
    rows={
        "reconstruction": {"method.loss": "reconstruction"},
        "adversarial": {"method.loss": "adversarial"},
        "joint": {"method.loss": "joint"},
    },
    also=(PAINTED,),
    published=(
        Published(
            source=TABLE,
            setting="PASCAL VOC 2007, AlexNet fine-tuned; from random weights 53.3, from ImageNet labels 78.2",
            quantity="classification, mean average precision, %",
            rows=numbers("context_encoder_voc", "classification", {"reconstruction": {"method": "Context encoder"}}),
        ),
    ),
    claims=(
        Claim(
            statement="Reconstruction teaches features that the adversarial loss alone does not.",
            source=SOURCE,
            higher="reconstruction",
            lower="adversarial",
            published="no number: the adversarial loss did not converge with AlexNet, and was left out for features",
        ),
        Claim(
            statement="The adversarial loss alone does not tie the painting to the picture: its L2 error is larger.",
            source=SOURCE,
            higher="adversarial",
            lower="joint",
            measure=PAINTED,
            published="no number: reconstruction is said to give structure and coherence with the context",
        ),
    ),
)
