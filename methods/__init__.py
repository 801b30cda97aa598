"""The methods, by name, in reading order; after ours, those of other installed packages.

A package brings methods by the entry point group ``unlabeled.methods``, whose entries are their config classes.
"""

import logging
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points

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


def _of_packages() -> Iterator[type[MethodConfig]]:
    """Load the config classes that installed packages bring; what can't be loaded is left out with a warning."""
    for point in entry_points(group="unlabeled.methods"):
        try:
            config = point.load()
        except Exception as error:  # whatever another package does must not stop our commands
            reason = f"{type(error).__name__}: {error}"
        else:
            if not (isinstance(config, type) and issubclass(config, MethodConfig)):
                reason = f"{point.value} is no MethodConfig"
            elif config.name in OURS:
                reason = f"{config.name!r} is the name of a method here"
            else:
                yield config
                continue
        where = point.dist.name if point.dist else "a package"
        logging.getLogger(__name__).warning("the method %r of %s can't be used: %s", point.name, where, reason)


METHODS: Mapping[str, type[MethodConfig]] = {**OURS, **{config.name: config for config in _of_packages()}}
