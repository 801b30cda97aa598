"""How good are ViTs that learned without labels, and does contrast of views teach them more than masking?

Why it matters: transformers had learned from language by masking and by predicting what comes next; pictures had their
best features from contrast, in convnets.
Source: Chen, Xie, He (2021), arXiv:2104.02057, table 1.
Expected: by a linear probe MoCo v3 beats image GPT, though that is far larger; fine-tuned, it beats masked patch
prediction, though that saw far more pictures; and a larger ViT is better.
Cost: laptop 12 runs. Nobody has timed them, nor the other profiles.

Here all have the same ViT, pictures and passes, so that the paper's handicaps are none of ours: image GPT's iGPT-L has
16 times ViT-B's weights, and masked patch prediction saw JFT's 300 million pictures. Image GPT here tells the mean
colours of the ViT's patches, where the paper's tells pixels of smaller pictures.
"""

from unlabeled.methods.autoregressive.image_gpt import ImageGPTConfig
from unlabeled.methods.contrastive.moco_v3 import MoCoV3Config
from unlabeled.methods.masked.masked_patch_prediction import MaskedPatchPredictionConfig
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.encoder import TimmConfig, ViTConfig
from unlabeled.platform.evaluate import FineTune, Linear
from unlabeled.platform.optim import AdamW
from unlabeled.platform.study import Study
from unlabeled.studies.bases import FLIPPED, LAPTOP_DATA
from unlabeled.studies.tables import Column
from unlabeled.studies.tasks import PAIR

LINEAR, TUNED = "test/linear/top1", f"test/{FineTune().key}/top1"
PROBED = {
    "image GPT": {"protocol": "linear", "model": "iGPT-L"},
    "MoCo v3": {"protocol": "linear", "framework": "MoCo v3", "model": "ViT-B"},
    "MoCo v3, larger": {"protocol": "linear", "framework": "MoCo v3", "model": "ViT-L"},
}
FINE_TUNED = {
    "masked patches": {"framework": "masked patch prediction (JFT-300M)"},
    "MoCo v3": {"protocol": "fine-tuned", "framework": "MoCo v3", "model": "ViT-B"},
    "MoCo v3, larger": {"protocol": "fine-tuned", "framework": "MoCo v3", "model": "ViT-L"},
}
BY_PROBE = Column("moco_v3_vit", "acc", PROBED)
BY_TUNING = Column("moco_v3_vit", "acc", FINE_TUNED)
RECIPE = AdamW(learning_rate=1.5e-4, scaling="linear", weight_decay=0.1, warmup_epochs=40)
LAPTOP = RunConfig(
    method=MoCoV3Config(views=PAIR, head=(256, 256, 64), predictor=(256,), momentum=0.97),
    data=LAPTOP_DATA,
    encoder=ViTConfig(width=16, depth=2, patch_px=4),
    optimizer=AdamW(learning_rate=2e-3, warmup_epochs=1),
    epochs=8,
    evaluation=EvaluationConfig(final=(Linear(), FineTune())),
)


SMALL = {
    "image GPT": {"method": ImageGPTConfig(views=FLIPPED, colors=8)},
    "masked patches": {"method": MaskedPatchPredictionConfig(views=FLIPPED)},
    "MoCo v3": {},
    "MoCo v3, larger": {"encoder": ViTConfig(width=32, depth=2, patch_px=4)},
}

STUDY = Study(
    name="moco-v3",
    question="How good are ViTs that learned without labels, and does contrast of views teach them more than masking?",
    source=BY_PROBE.source,
    expected="MoCo v3 beats image GPT by a linear probe and masked patch prediction fine-tuned; larger is better.",
    cost="12 runs, nobody has timed them",
    profiles={
        "laptop": LAPTOP,
        "workstation": LAPTOP.with_field("data", DataConfig(name="cifar10"))
        .with_field("encoder", TimmConfig(model="vit_tiny_patch16_224", patch_px=4))
        .with_field("batch_size", 1024)
        .with_field("optimizer", RECIPE)
        .with_field("epochs", 300),
        "cluster": RunConfig(
            method=MoCoV3Config(),
            data=DataConfig(name="imagenet"),
            encoder=TimmConfig(model="vit_base_patch16_224"),
            optimizer=RECIPE,
            epochs=300,
            batch_size=4096,
            evaluation=EvaluationConfig(final=(Linear(), FineTune(epochs=100))),
        ),
    },
    rows=SMALL,
    scaled={
        "workstation": {**SMALL, "MoCo v3, larger": {"encoder": TimmConfig(model="vit_small_patch16_224", patch_px=4)}},
        "cluster": {
            "image GPT": {"method": ImageGPTConfig()},
            "masked patches": {"method": MaskedPatchPredictionConfig()},
            "MoCo v3": {},
            "MoCo v3, larger": {"encoder": TimmConfig(model="vit_large_patch16_224")},
        },
    },
    measure=LINEAR,
    also=(TUNED,),
    published=(BY_PROBE.beside(), BY_TUNING.beside(TUNED)),
    claims=(
        BY_PROBE.claim("By a linear probe, MoCo v3 beats image GPT.", "MoCo v3", "image GPT"),
        BY_PROBE.claim("By a linear probe, a larger ViT is better.", "MoCo v3, larger", "MoCo v3"),
        BY_TUNING.claim(
            "Fine-tuned, MoCo v3 beats masked patch prediction.", "MoCo v3", "masked patches", measure=TUNED
        ),
        BY_TUNING.claim("Fine-tuned, a larger ViT is better.", "MoCo v3, larger", "MoCo v3", measure=TUNED),
    ),
)
