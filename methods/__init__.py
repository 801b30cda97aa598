"""The methods, by name, in reading order; after ours, those of other installed packages.

A package brings methods by the entry point group ``unlabeled.methods``, whose entries are their config classes.
"""

from collections.abc import Mapping
from pkgutil import resolve_name

from unlabeled.platform.method import MethodConfig
from unlabeled.platform.settings import brought

_FILES = (  # a line for each method: its file, and its config in that
    "innate.rotnet:RotNetConfig",
    "innate.relative_patch_location:RelativePatchLocationConfig",
    "innate.jigsaw:JigsawConfig",
    "innate.exemplar:ExemplarConfig",
    "innate.counting:CountingConfig",
    "innate.temporal_order:TemporalOrderConfig",
    "masked.autoencoder:AutoencoderConfig",
    "masked.context_encoder:ContextEncoderConfig",
    "cross_channel.colorization:ColorizationConfig",
    "cross_channel.color_proxy:ColorProxyConfig",
    "cross_channel.split_brain:SplitBrainConfig",
    "masked.masked_patch_prediction:MaskedPatchPredictionConfig",
    "masked.beit:BEiTConfig",
    "masked.mae:MAEConfig",
    "generative.vae:VAEConfig",
    "generative.ddpm:DDPMConfig",
    "generative.bigan:BiGANConfig",
    "autoregressive.pixelcnn:PixelCNNConfig",
    "autoregressive.image_gpt:ImageGPTConfig",
    "autoregressive.cpc:CPCConfig",
    "autoregressive.cpc_v2:CPCV2Config",
    "autoregressive.cpc_sound:CPCSoundConfig",
    "contrastive.instance_discrimination:InstanceDiscriminationConfig",
    "contrastive.pirl:PIRLConfig",
    "contrastive.cmc:CMCConfig",
    "contrastive.local_aggregation:LocalAggregationConfig",
    "contrastive.looc:LooCConfig",
    "contrastive.simclr:SimCLRConfig",
    "contrastive.simclr_v2:SimCLRV2Config",
    "contrastive.moco:MoCoConfig",
    "contrastive.moco_v3:MoCoV3Config",
    "contrastive.barlow_twins:BarlowTwinsConfig",
    "contrastive.vicreg:VICRegConfig",
    "contrastive.amdim:AMDIMConfig",
    "contrastive.dense_object_nets:DenseObjectNetsConfig",
    "clustering.nat:NATConfig",
    "clustering.deepcluster:DeepClusterConfig",
    "clustering.swav:SwAVConfig",
    "distillation.byol:BYOLConfig",
    "distillation.simsiam:SimSiamConfig",
    "distillation.dino:DINOConfig",
    "distillation.dinov2:DINOv2Config",
    "distillation.simclr_v2_distillation:SimCLRV2DistillationConfig",
    "multimodal.clip:CLIPConfig",
    "supervised.metric_learning:MetricLearningConfig",
    "supervised.supcon:SupConConfig",
    "supervised.fixmatch:FixMatchConfig",
    "supervised.classifier:SupervisedConfig",
)

OURS: Mapping[str, type[MethodConfig]] = {
    config.name: config for config in (resolve_name(f"{__name__}.{file}") for file in _FILES)
}


METHODS: Mapping[str, type[MethodConfig]] = {
    **OURS,
    **{config.name: config for _, config in brought("unlabeled.methods", MethodConfig)},
}
