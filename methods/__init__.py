"""The methods, by name, in reading order; after ours, those of other installed packages.

A package brings methods by the entry point group ``unlabeled.methods``, whose entries are their config classes.
"""

from collections.abc import Mapping

from unlabeled.methods.autoregressive.cpc import CPCConfig
from unlabeled.methods.contrastive.moco import MoCoConfig
from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.methods.cross_channel.colorization import ColorizationConfig
from unlabeled.methods.cross_channel.split_brain import SplitBrainConfig
from unlabeled.methods.distillation.dino import DINOConfig
from unlabeled.methods.innate.jigsaw import JigsawConfig
from unlabeled.methods.innate.rotnet import RotNetConfig
from unlabeled.methods.masked.context_encoder import ContextEncoderConfig
from unlabeled.methods.masked.mae import MAEConfig
from unlabeled.methods.multimodal.clip import CLIPConfig
from unlabeled.methods.supervised.classifier import SupervisedConfig
from unlabeled.methods.supervised.supcon import SupConConfig
from unlabeled.platform.method import MethodConfig
from unlabeled.platform.settings import brought

OURS: Mapping[str, type[MethodConfig]] = {
    config.name: config
    for config in (
        RotNetConfig,
        JigsawConfig,
        ContextEncoderConfig,
        ColorizationConfig,
        SplitBrainConfig,
        MAEConfig,
        CPCConfig,
        SimCLRConfig,
        MoCoConfig,
        DINOConfig,
        CLIPConfig,
        SupConConfig,
        SupervisedConfig,
    )
}


METHODS: Mapping[str, type[MethodConfig]] = {
    **OURS,
    **{config.name: config for _, config in brought("unlabeled.methods", MethodConfig)},
}
