"""Can pictures be classified by the names of their classes alone, and does it help to learn from captions?

Why it matters: a caption says what a picture shows, where two crops of it only say that they are one picture; and who
has learned to read needs no labelled example of a new class.
Source: Radford et al. (2021), arXiv:2103.00020, secs. 3.1.3 to 3.1.5; CLIP beside SimCLR on the same pictures, Mu et
al. (2021), "SLIP: Self-supervision meets Language-Image Pre-training", arXiv:2112.12750, table 1.
Expected: names alone classify far better than by chance; prompts add to that; labels still do better; and captions give
better features than views of one picture.
Cost: laptop 6 runs, about 3 minutes on two cores. Nobody has timed the other profiles. There is no large captioned data
set here, so all scales take the emoji, the larger ones with ResNets: 2,740 pictures, where the paper has 400 million.
The names are those of nine groups ("People & Body"), chance is 11 %, and always saying the largest group 20 %. Captions
name single emoji and hardly ever a group; so this asks more of the words than the paper's classes do. Our prompts speak
of emoji, where the paper has photos.
"""

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.methods.multimodal.clip import CLIPConfig
from unlabeled.platform.augment import SIMCLR_SMALL, Crop, Flip, Policy, ViewPlan, two_views
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.encoder import TimmConfig
from unlabeled.platform.evaluate import KNN, Linear
from unlabeled.platform.evaluate.zero_shot import ZeroShot
from unlabeled.platform.optim import AdamW
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.tables import Column, said

SOURCE = "Radford et al. 2021, arXiv:2103.00020"
PROMPTS = ("{}", "an emoji of {}", "a picture of {}", "{} emoji")
FINAL = (KNN(), Linear())
LINEAR, NAMES, PROMPTED = "test/linear/top1", "test/zero-shot/top1", "test/zero-shot-prompts/top1"
GUESSED = "untrained/zero-shot/top1"
SLIP = Column("slip_yfcc15m", "linear", {row: {"method": row} for row in ("CLIP", "SimCLR")})
SLIP_NAMES = Column("slip_yfcc15m", "zero_shot", {"CLIP": {"method": "CLIP"}})


def simclr(head: tuple[int, ...]) -> dict[str, object]:
    """Return the row that looks at the pictures alone; it has no text tower for names."""
    method = SimCLRConfig(views=two_views(SIMCLR_SMALL), temperature=0.2, head=head)
    return {"method": method, "evaluation.final": FINAL}


LAPTOP = RunConfig(
    method=CLIPConfig(
        views=ViewPlan(views=(Policy(ops=(Crop(area=(0.5, 1.0)), Flip())),)),
        embedding=128,
        context=32,
        text_width=64,
        text_depth=1,
        text_heads=4,
    ),
    data=DataConfig(name="emoji"),
    optimizer=AdamW(learning_rate=2e-3, warmup_epochs=1),
    epochs=16,
    evaluation=EvaluationConfig(final=(*FINAL, ZeroShot(), ZeroShot(templates=PROMPTS))),
)
WORKSTATION = LAPTOP.with_field("encoder", TimmConfig(model="resnet18")).with_field("epochs", 100)

STUDY = Study(
    name="clip-zero-shot",
    question="Can pictures be classified by the names of their classes alone, and does it help to learn from captions?",
    source=f"{SOURCE}, secs. 3.1.3 to 3.1.5; {SLIP.source}",
    expected="Names classify better than chance, labels better than names, and captions give the better features.",
    cost="6 runs, about 3 minutes on two cores, at laptop scale",
    profiles={
        "laptop": LAPTOP,
        "workstation": WORKSTATION,
        "cluster": WORKSTATION.with_field("encoder", TimmConfig(model="resnet50")),
    },
    rows={"CLIP": {}, "SimCLR": simclr((256, 128))},
    scaled={"workstation": {"SimCLR": simclr((512, 128))}, "cluster": {"SimCLR": simclr((2048, 128))}},
    measure=LINEAR,
    also=(NAMES, PROMPTED, GUESSED),
    published=(SLIP.beside(), SLIP_NAMES.beside(PROMPTED)),
    claims=(
        SLIP.claim("Captions give better features than two views of each picture.", "CLIP", "SimCLR"),
        Claim(
            statement="The names of the classes are enough to classify better than an untrained model does.",
            higher="CLIP",
            lower="CLIP",
            measure=NAMES,
            lower_measure=GUESSED,
            **said("names-over-chance"),
        ),
        Claim(
            statement="An ensemble of prompts beats the names alone.",
            higher="CLIP",
            lower="CLIP",
            measure=PROMPTED,
            lower_measure=NAMES,
            **said("prompts-over-names"),
        ),
        Claim(
            statement="A linear classifier with labels beats the names.",
            higher="CLIP",
            lower="CLIP",
            lower_measure=NAMES,
            **said("labels-over-names"),
        ),
    ),
)
