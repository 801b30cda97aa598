"""Which way of pretraining a ViT is worth most when the whole network is fine-tuned afterwards?

Why it matters: probes ask how features lie, fine-tuning how good a start the weights are, which is how ViTs are used.
Source: He, Chen, Xie, Li, Dollár, Girshick (2021), arXiv:2111.06377, table 3.
Expected: each beats training from scratch on the same labels; MAE beats the others, and gains more in a larger ViT.
Cost: laptop 15 runs. Nobody has timed them, nor the other profiles.

From scratch is fine-tuning of the untrained encoder: it starts from the weights that pretraining starts from, and has
the same labels in the same order. All have the same ViT, pictures, passes and rate; the paper takes each method's own
recipe, and the laptop's rate was chosen for MAE. BEiT's tokens come from a tokenizer that is trained in the run, the
paper's from DALL-E's, which learned from other pictures. The larger row's ViT has some four times the weights.
"""

from unlabeled.methods.contrastive.moco_v3 import MoCoV3Config
from unlabeled.methods.distillation.dino import DINOConfig
from unlabeled.methods.masked.beit import BEiTConfig
from unlabeled.platform.config import EvaluationConfig
from unlabeled.platform.encoder import TimmConfig, ViTConfig
from unlabeled.platform.evaluate import FineTune, Linear
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import FLIPPED, MAE_RUN
from unlabeled.studies.tables import Cell, Column, against, gap_against
from unlabeled.studies.tasks import PAIR

MEASURE, SCRATCH = f"test/{FineTune().key}/top1", f"untrained/{FineTune().key}/top1"
CASES = {name: {"method": name} for name in ("DINO", "MoCo v3", "BEiT", "MAE")}
BASE = Column("mae_imagenet", "ViT-B", CASES)
LARGE = Column("mae_imagenet", "ViT-L", {"MAE, larger": CASES["MAE"]})
FROM_SCRATCH = {size: Cell.of("mae_imagenet", size, method="scratch") for size in ("ViT-B", "ViT-L")}
EPOCHS = {"laptop": 5, "workstation": 30, "cluster": 100}  # of fine-tuning
SMALL = {
    "DINO": {"method": DINOConfig(views=PAIR, head=(256, 64), prototypes=512, momentum=0.97)},
    "MoCo v3": {"method": MoCoV3Config(views=PAIR, head=(256, 256, 64), predictor=(256,), momentum=0.97)},
    "BEiT": {"method": BEiTConfig(views=FLIPPED, smallest_block=4, tokens=64, tokenizer_width=32)},
    "MAE": {},
    "MAE, larger": {"encoder": ViTConfig(width=16, depth=2, patch_px=4)},
}


def beats_scratch(row: str) -> Claim:
    """Claim that pretraining is worth something when everything is tuned."""
    return Claim(
        statement=f"Fine-tuned, {row} beats training from scratch.",
        higher=row,
        lower=row,
        lower_measure=SCRATCH,
        **against(BASE[row], FROM_SCRATCH["ViT-B"]),
    )


STUDY = Study(
    name="mae-fine-tuned",
    question="Which way of pretraining a ViT is worth most when the whole network is fine-tuned afterwards?",
    source=BASE.source,
    expected="Each beats training from scratch; MAE beats the others, and gains more in a larger ViT.",
    cost="15 runs, nobody has timed them",
    profiles={
        scale: run.with_field("evaluation", EvaluationConfig(final=(FineTune(epochs=EPOCHS[scale]), Linear())))
        for scale, run in MAE_RUN.items()
    },
    rows=SMALL,
    scaled={
        "workstation": {**SMALL, "MAE, larger": {"encoder": TimmConfig(model="vit_small_patch16_224", patch_px=4)}},
        "cluster": {
            "DINO": {"method": DINOConfig()},
            "MoCo v3": {"method": MoCoV3Config()},
            "BEiT": {"method": BEiTConfig()},
            "MAE": {},
            "MAE, larger": {"encoder": TimmConfig(model="vit_large_patch16_224")},
        },
    },
    measure=MEASURE,
    also=(SCRATCH, "test/linear/top1"),
    published=(BASE.beside(), LARGE.beside()),
    claims=(
        *(beats_scratch(row) for row in CASES),
        *(BASE.claim(f"Fine-tuned, MAE beats {row}.", "MAE", row) for row in CASES if row != "MAE"),
        Claim(
            statement="What MAE gains over training from scratch grows with the ViT.",
            higher="MAE, larger",
            lower="MAE, larger",
            than=("MAE", "MAE"),
            lower_measure=SCRATCH,
            **gap_against(LARGE["MAE, larger"], FROM_SCRATCH["ViT-L"], BASE["MAE"], FROM_SCRATCH["ViT-B"]),
        ),
    ),
)
