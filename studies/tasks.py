"""Methods that learn from pictures, at laptop scale: one base, and a row for each, by family.

Several studies ask which of them is best, and of what: all see the same emoji as often, by the same optimiser. Emoji,
because no other set here has what all need: colours, captions and classes. What a row sets is what fits pictures of 32
px; where it was chosen, that was on validation, see LOG.md.
"""

from collections.abc import Mapping
from typing import Any

from unlabeled.methods.autoregressive.cpc import CPCConfig
from unlabeled.methods.autoregressive.cpc_v2 import CPCV2Config
from unlabeled.methods.autoregressive.image_gpt import ImageGPTConfig
from unlabeled.methods.autoregressive.pixelcnn import PixelCNNConfig
from unlabeled.methods.clustering.deepcluster import DeepClusterConfig
from unlabeled.methods.clustering.nat import NATConfig
from unlabeled.methods.clustering.swav import SwAVConfig
from unlabeled.methods.contrastive.amdim import AMDIMConfig
from unlabeled.methods.contrastive.barlow_twins import BarlowTwinsConfig
from unlabeled.methods.contrastive.cmc import CMCConfig
from unlabeled.methods.contrastive.instance_discrimination import InstanceDiscriminationConfig
from unlabeled.methods.contrastive.local_aggregation import LocalAggregationConfig
from unlabeled.methods.contrastive.looc import ROTATION, LooCConfig
from unlabeled.methods.contrastive.moco import MoCoConfig
from unlabeled.methods.contrastive.moco_v3 import MoCoV3Config
from unlabeled.methods.contrastive.pirl import PIRLConfig
from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.methods.contrastive.simclr_v2 import SimCLRV2Config
from unlabeled.methods.contrastive.vicreg import VICRegConfig
from unlabeled.methods.cross_channel.color_proxy import ColorProxyConfig
from unlabeled.methods.cross_channel.colorization import ColorizationConfig
from unlabeled.methods.cross_channel.split_brain import SplitBrainConfig
from unlabeled.methods.distillation.byol import BYOLConfig
from unlabeled.methods.distillation.dino import DINOConfig
from unlabeled.methods.distillation.dinov2 import DINOv2Config
from unlabeled.methods.distillation.simsiam import SimSiamConfig
from unlabeled.methods.generative.bigan import BiGANConfig
from unlabeled.methods.generative.ddpm import DDPMConfig
from unlabeled.methods.generative.vae import VAEConfig
from unlabeled.methods.innate.counting import CountingConfig, another_beside
from unlabeled.methods.innate.exemplar import ExemplarConfig
from unlabeled.methods.innate.jigsaw import JigsawConfig
from unlabeled.methods.innate.relative_patch_location import RelativePatchLocationConfig
from unlabeled.methods.innate.rotnet import RotNetConfig
from unlabeled.methods.masked.autoencoder import AutoencoderConfig
from unlabeled.methods.masked.beit import BEiTConfig
from unlabeled.methods.masked.context_encoder import ContextEncoderConfig
from unlabeled.methods.masked.mae import MAEConfig
from unlabeled.methods.masked.masked_patch_prediction import MaskedPatchPredictionConfig
from unlabeled.methods.multimodal.clip import CLIPConfig
from unlabeled.methods.supervised.classifier import SupervisedConfig
from unlabeled.methods.supervised.metric_learning import MetricLearningConfig
from unlabeled.methods.supervised.supcon import SupConConfig
from unlabeled.platform.augment import SIMCLR_SMALL, Crop, Flip, Policy, ViewPlan, two_views
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.encoder import ViTConfig
from unlabeled.platform.optim import AdamW
from unlabeled.studies.bases import FLIPPED

ONE, PAIR = ViewPlan(views=(Policy(ops=(Crop(area=(0.3, 1.0)), Flip())),)), two_views(SIMCLR_SMALL)
BASE = RunConfig(
    method=SimCLRConfig(views=PAIR, temperature=0.2, head=(256, 128)),
    data=DataConfig(name="emoji"),
    optimizer=AdamW(learning_rate=2e-3, warmup_epochs=2),
    epochs=20,
    batch_size=128,
)
TASKS: Mapping[str, RunConfig] = {
    "laptop": BASE,
    "workstation": BASE.with_field("encoder", "resnet18").with_field("epochs", 100),
    "cluster": BASE.with_field("encoder", "resnet50").with_field("epochs", 200),
}
COLORED = ViewPlan(views=(SIMCLR_SMALL,))
COLOR = Policy(ops=SIMCLR_SMALL.ops[2:4])  # its jitter, and its colour drop
WHOLE_AND_TILES = ViewPlan(views=(SIMCLR_SMALL, SIMCLR_SMALL.replacing(Crop(area=(0.6, 1.0)))))
QUEUE: Mapping[str, Any] = {"momentum": 0.97, "queue": 1024, "head": (256, 128)}
VIT = ViTConfig(width=16)  # what masks patches has no use for a convnet

Rows = Mapping[str, Mapping[str, Any]]

INNATE: Rows = {
    "rotation": {"method": RotNetConfig(views=ONE)},
    "jigsaw": {"method": JigsawConfig(views=FLIPPED, num_permutations=16, tile_features=64, head=(256,))},
    "relative position": {"method": RelativePatchLocationConfig(views=FLIPPED, patch_features=64, head=(256,))},
    "exemplars": {"method": ExemplarConfig(patch_px=24)},
    "counting": {"method": CountingConfig(views=another_beside(ONE.views[0].policy), counts=64, margin=1.0)},
}
PAINTING: Rows = {
    "autoencoder": {"method": AutoencoderConfig(views=ONE, width=64)},
    "denoising": {"method": AutoencoderConfig(views=ONE, width=64, noise="gaussian")},
    "inpainting": {"method": ContextEncoderConfig(views=FLIPPED, region="blocks", width=64)},
    "colorization": {"method": ColorizationConfig(views=ONE, decoder=64)},
    "colour proxy": {"method": ColorProxyConfig(views=ONE, places=64, bins=16, window_px=3, hidden=128)},
    "split-brain": {"method": SplitBrainConfig(views=ONE)},
    "MAE": {"method": MAEConfig(views=ONE, decoder_width=64, decoder_depth=1), "encoder": VIT},
    "BEiT": {
        "method": BEiTConfig(views=ONE, tokens=256, tokenizer_width=32, smallest_block=4),
        "encoder": VIT,
    },
    "masked patches": {"method": MaskedPatchPredictionConfig(views=ONE), "encoder": VIT},
    "VAE": {"method": VAEConfig(views=ONE, width=64)},
    "diffusion": {"method": DDPMConfig(views=FLIPPED, width=64, momentum=0.995)},
    "BiGAN": {"method": BiGANConfig(views=FLIPPED, width=64, hidden=256)},
}
PREDICTION: Rows = {
    "CPC": {"method": CPCConfig(patch_px=16, stride_px=8, num_steps=2, context=128)},
    "CPC v2": {
        "method": CPCV2Config(patch_px=16, stride_px=8, num_steps=2, skipped=0, context=64, target=64, blocks=3)
    },
    "PixelCNN": {
        "method": PixelCNNConfig(views=FLIPPED, code=64, levels=16, depth=2, width=12, kernel_px=3),
    },
    "image GPT": {"method": ImageGPTConfig(views=FLIPPED, colors=64), "encoder": VIT},
}
INSTANCES: Rows = {
    "instance discrimination": {"method": InstanceDiscriminationConfig(views=COLORED, negatives=None, temperature=0.1)},
    "PIRL": {"method": PIRLConfig(views=WHOLE_AND_TILES, negatives=None, temperature=0.1)},
    "CMC": {"method": CMCConfig(views=ONE, negatives=None, temperature=0.1)},
    "LooC": {"method": LooCConfig(views=ViewPlan(views=ONE.views * 4), augmentations=(COLOR, ROTATION), **QUEUE)},
    "AMDIM": {"method": AMDIMConfig(views=PAIR, embedding=128)},
    "SimCLR": {},
    "SimCLR v2": {"method": SimCLRV2Config(views=PAIR, temperature=0.2, head=(256, 256, 128))},
    "MoCo": {"method": MoCoConfig(views=PAIR, symmetric=True, **QUEUE)},
    "MoCo v3": {"method": MoCoV3Config(views=PAIR, head=(256, 128), predictor=(256,), momentum=0.97)},
    "BYOL": {"method": BYOLConfig(views=PAIR, head=(256, 128), predictor=(256,), momentum=0.97)},
    "SimSiam": {"method": SimSiamConfig(views=PAIR, head=(256, 256, 256), predictor=64)},
    "Barlow Twins": {"method": BarlowTwinsConfig(views=PAIR, head=(256, 256))},
    "VICReg": {"method": VICRegConfig(views=PAIR, head=(256, 256))},
}
CLUSTERS: Rows = {
    "DeepCluster": {"method": DeepClusterConfig(views=ONE, clusters=200, components=64, every=10)},
    "NAT": {"method": NATConfig(views=ONE, head=(256, 128), together=256)},
    "local aggregation": {
        "method": LocalAggregationConfig(views=COLORED, temperature=0.1, neighbours=512, clusters=100, clusterings=5)
    },
    "SwAV": {"method": SwAVConfig(views=PAIR, head=(256, 128), prototypes=128)},
    "DINO": {"method": DINOConfig(views=PAIR, head=(256, 64), prototypes=512, momentum=0.97)},
    "DINOv2": {"method": DINOv2Config(views=PAIR, head=(256, 64), prototypes=512, momentum=0.97), "encoder": VIT},
}
TOLD: Rows = {
    "CLIP": {"method": CLIPConfig(views=ONE, embedding=64, text_width=64, text_depth=1, text_heads=2)},
    "metric learning": {"method": MetricLearningConfig(views=PAIR, head=(128,))},
    "SupCon": {"method": SupConConfig(views=PAIR, head=(256, 128))},
    "labels": {"method": SupervisedConfig(views=ViewPlan(views=PAIR.views[:1]))},
}
