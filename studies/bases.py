"""What most studies start from, at each scale: one run of SimCLR, one of MoCo v2, one of MAE.

The workstation's follow the authors' CIFAR-10 settings as far as they go: SimCLR's app. B.9, with a ResNet-18 for its
ResNet-50, and MoCo's notebook (facebookresearch/moco, ``colab/moco_cifar10_demo.ipynb``), with version 2's head. The
notebook judges by kNN with 200 neighbours at 0.1; here a linear probe does, and kNN as in all other runs, so that its
numbers can't be met as they stand. The cluster's are the papers' ImageNet settings; the laptop's were chosen on the
validation split, the same for all rows of a study.
"""

from collections.abc import Mapping
from typing import Any

from unlabeled.methods.contrastive.moco import MoCoConfig
from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.methods.masked.mae import MAEConfig
from unlabeled.platform.augment import (
    MOCO_V2,
    MOCO_V2_SMALL,
    SIMCLR,
    SIMCLR_SMALL,
    Flip,
    Policy,
    ViewPlan,
    two_views,
)
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.encoder import TimmConfig, ViTConfig
from unlabeled.platform.optim import LARS, SGD, AdamW

LAPTOP_DATA = DataConfig(name="fashion-mnist-12k", train_images=5000)
MOCO_V1_TEMPERATURE = MoCoConfig.v1().temperature
FLIPPED = ViewPlan(views=(Policy(ops=(Flip(),)),))  # one view of each image, the whole of it

SIMCLR_RUN: Mapping[str, RunConfig] = {
    "laptop": RunConfig(
        method=SimCLRConfig(views=two_views(SIMCLR_SMALL), temperature=0.2, head=(256, 128)),
        data=LAPTOP_DATA,
        optimizer=AdamW(learning_rate=2e-3, warmup_epochs=1),
        epochs=8,
    ),
    "workstation": RunConfig(
        method=SimCLRConfig(views=two_views(SIMCLR_SMALL), temperature=0.5, head=(512, 128)),
        data=DataConfig(name="cifar10"),
        encoder=TimmConfig(model="resnet18"),
        optimizer=LARS(learning_rate=1.0, warmup_epochs=10),
        epochs=100,
        batch_size=512,
    ),
    "cluster": RunConfig(
        method=SimCLRConfig(views=two_views(SIMCLR), temperature=0.1),
        data=DataConfig(name="imagenet"),
        encoder=TimmConfig(model="resnet50"),
        optimizer=LARS(learning_rate=0.3, warmup_epochs=10),
        epochs=100,
        batch_size=4096,
    ),
}

MOCO_RUN: Mapping[str, RunConfig] = {
    "laptop": RunConfig(
        method=MoCoConfig(views=two_views(MOCO_V2_SMALL), momentum=0.97, queue=1024, head=(256, 128), symmetric=True),
        data=LAPTOP_DATA,
        optimizer=AdamW(learning_rate=2e-3, warmup_epochs=1),
        epochs=8,
    ),
    "workstation": RunConfig(
        method=MoCoConfig(views=two_views(MOCO_V2_SMALL), temperature=0.1, momentum=0.99, queue=4096, head=(512, 128)),
        data=DataConfig(name="cifar10"),
        encoder=TimmConfig(model="resnet18"),
        optimizer=SGD(learning_rate=0.06, weight_decay=5e-4),  # the notebook's for a batch of 512
        epochs=200,
        batch_size=512,
    ),
    "cluster": RunConfig(
        method=MoCoConfig(views=two_views(MOCO_V2)),
        data=DataConfig(name="imagenet"),
        encoder=TimmConfig(model="resnet50"),
        optimizer=SGD(learning_rate=0.03, weight_decay=1e-4),
        epochs=200,
    ),
}


MAE_RECIPE = AdamW(learning_rate=1.5e-4, scaling="linear", weight_decay=0.05, warmup_epochs=40, betas=(0.9, 0.95))
MAE_RUN: Mapping[str, RunConfig] = {
    "laptop": RunConfig(
        method=MAEConfig(decoder_width=32, decoder_depth=1),
        data=LAPTOP_DATA,
        encoder=ViTConfig(width=8, depth=2, patch_px=4),
        optimizer=AdamW(learning_rate=4e-3, warmup_epochs=1, betas=(0.9, 0.95)),
        epochs=12,
        batch_size=64,
    ),
    "workstation": RunConfig(
        method=MAEConfig(decoder_width=96, decoder_depth=4),
        data=DataConfig(name="cifar10"),
        encoder=TimmConfig(model="vit_tiny_patch16_224", patch_px=4),
        optimizer=MAE_RECIPE.with_field("warmup_epochs", 20),
        epochs=400,
        batch_size=1024,
    ),
    "cluster": RunConfig(
        method=MAEConfig(),
        data=DataConfig(name="imagenet"),
        encoder=TimmConfig(model="vit_base_patch16_224"),
        optimizer=MAE_RECIPE,
        epochs=800,
        batch_size=4096,
    ),
}


def changed(profiles: Mapping[str, RunConfig], changes: Mapping[str, Any]) -> dict[str, RunConfig]:
    """Return the profiles with the fields at dotted paths set, the same at each scale."""
    found = dict(profiles)
    for profile, run in profiles.items():
        for path, value in changes.items():
            run = run.with_field(path, value)
        found[profile] = run
    return found
