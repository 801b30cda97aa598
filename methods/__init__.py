"""The methods, by name, in reading order."""

from collections.abc import Mapping

from unlabeled.methods.contrastive.moco import MoCoConfig
from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.methods.supervised.classifier import SupervisedConfig
from unlabeled.platform.method import MethodConfig

METHODS: Mapping[str, type[MethodConfig]] = {
    config.name: config for config in (SimCLRConfig, MoCoConfig, SupervisedConfig)
}
