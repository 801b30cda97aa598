"""Which way of pretraining a ViT is worth most when the whole network is fine-tuned afterwards?

Why it matters: probes ask how features lie, fine-tuning how good a start the weights are, which is how ViTs are used.
Source: He, Chen, Xie, Li, Dollár, Girshick (2021), arXiv:2111.06377, table 3.
Expected: each beats training from scratch on the same labels; MAE beats the others, and gains more in a larger ViT.
Cost: laptop 15 runs. Nobody has timed them, nor the other profiles.

From scratch is fine-tuning of the untrained encoder: it starts from the weights that pretraining starts from, and has
the same labels in the same order. All have the same ViT, pictures and passes; the paper's have schedules of their own,
from 300 epochs (DINO, MoCo v3) to 1,600 (MAE). BEiT's tokens come from a tokenizer that is trained in the run, the
paper's from DALL-E's, which saw 250 million pictures. The larger row has four times the weights, as ViT-L has of ViT-B.
"""

from unlabeled.methods.contrastive.moco_v3 import MoCoV3Config
from unlabeled.methods.distillation.dino import DINOConfig
from unlabeled.methods.masked.beit import BEiTConfig
from unlabeled.methods.masked.mae import MAEConfig
from unlabeled.platform.augment import SIMCLR_SMALL, two_views
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.encoder import TimmConfig, ViTConfig
from unlabeled.platform.evaluate import FineTune, Linear
from unlabeled.platform.optim import AdamW
from unlabeled.platform.study import Claim, Study
from unlabeled.studies.bases import FLIPPED, LAPTOP_DATA
from unlabeled.studies.tables import Cell, Column, against, gap_against

MEASURE, SCRATCH = f"test/{FineTune().key}/top1", f"untrained/{FineTune().key}/top1"
CASES = {name: {"method": name} for name in ("DINO", "MoCo v3", "BEiT", "MAE")}
BASE = Column("mae_imagenet", "ViT-B", CASES)
LARGE = Column("mae_imagenet", "ViT-L", {"MAE, larger": CASES["MAE"]})
FROM_SCRATCH = {size: Cell.of("mae_imagenet", size, method="scratch") for size in ("ViT-B", "ViT-L")}
PAIR = two_views(SIMCLR_SMALL)
RECIPE = AdamW(learning_rate=1.5e-4, scaling="linear", weight_decay=0.05, warmup_epochs=40, betas=(0.9, 0.95))
SMALL = {
    "DINO": {"method": DINOConfig(views=PAIR, head=(256, 64), prototypes=512, momentum=0.97)},
    "MoCo v3": {"method": MoCoV3Config(views=PAIR, head=(256, 256, 64), predictor=(256,), momentum=0.97)},
    "BEiT": {"method": BEiTConfig(views=FLIPPED, smallest_block=4, tokens=64, tokenizer_width=32)},
    "MAE": {},
    "MAE, larger": {"encoder": ViTConfig(width=32, depth=2, patch_px=4)},
}


def evaluation(tuning: FineTune) -> EvaluationConfig:
    """Measure by fine-tuning, and by a linear probe beside it."""
    return EvaluationConfig(final=(tuning, Linear()))


def beats_scratch(row: str, of: Column) -> Claim:
    """Claim that pretraining is worth something when everything is tuned."""
    return Claim(
        statement=f"Fine-tuned, {row} beats training from scratch.",
        higher=row,
        lower=row,
        lower_measure=SCRATCH,
        **against(of[row], FROM_SCRATCH[of.about["column"]]),
    )


STUDY = Study(
    name="mae-fine-tuned",
    question="Which way of pretraining a ViT is worth most when the whole network is fine-tuned afterwards?",
    source=BASE.source,
    expected="Each beats training from scratch; MAE beats the others, and gains more in a larger ViT.",
    cost="15 runs, nobody has timed them",
    profiles={
        "laptop": RunConfig(
            method=MAEConfig(views=FLIPPED, decoder_width=32, decoder_depth=1),
            data=LAPTOP_DATA,
            encoder=ViTConfig(width=16, depth=2, patch_px=4),
            optimizer=AdamW(learning_rate=2e-3, warmup_epochs=1, betas=(0.9, 0.95)),
            epochs=12,
            batch_size=64,
            evaluation=evaluation(FineTune()),
        ),
        "workstation": RunConfig(
            method=MAEConfig(decoder_width=96, decoder_depth=4),
            data=DataConfig(name="cifar10"),
            encoder=TimmConfig(model="vit_tiny_patch16_224", patch_px=4),
            optimizer=RECIPE,
            epochs=400,
            batch_size=1024,
            evaluation=evaluation(FineTune(epochs=30)),
        ),
        "cluster": RunConfig(
            method=MAEConfig(),
            data=DataConfig(name="imagenet"),
            encoder=TimmConfig(model="vit_base_patch16_224"),
            optimizer=RECIPE,
            epochs=800,
            batch_size=4096,
            evaluation=evaluation(FineTune(epochs=100)),
        ),
    },
    rows=SMALL,
    scaled={
        "workstation": {
            **SMALL,
            "MAE, larger": {"encoder": TimmConfig(model="vit_small_patch16_224", patch_px=4)},
        },
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
        *(beats_scratch(row, BASE) for row in CASES),
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
