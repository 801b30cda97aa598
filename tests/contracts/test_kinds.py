"""Every encoder, operation on pictures and probe of features of ours, under the suites that ship."""

from typing import ClassVar

from unlabeled.platform.augment import Crop, Op
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig, MFCCConfig, TimmConfig, ViTConfig, WaveConfig
from unlabeled.platform.evaluate import KNN, KMeans, Linear
from unlabeled.platform.testing import EncoderSuite, OpSuite, ProbeSuite
from unlabeled.platform.testing.encoders import COLOUR, GREY, SOUND

OURS = [kind for kind in Op.family.values() if kind.__module__.startswith("unlabeled.")]


class TestEncoders(EncoderSuite):
    encoders: ClassVar = {
        "convnet": (ConvNetConfig(width=8), GREY),
        "convnet of colours": (ConvNetConfig(width=8), COLOUR),
        "vit": (ViTConfig(width=4, depth=2), GREY),
        "resnet18": (TimmConfig(model="resnet18"), COLOUR),
        "vit_tiny_patch16_224": (TimmConfig(model="vit_tiny_patch16_224"), COLOUR),
        "wave": (WaveConfig(width=16), SOUND),
        "mfcc": (MFCCConfig(), SOUND),
    }


class TestOps(OpSuite):
    ops = (*(kind() for kind in OURS), Crop(area=(0.2, 0.6), size=9))


class TestProbes(ProbeSuite):
    probes = (KNN(), Linear(), KMeans())


def test_every_kind_of_encoder_is_here() -> None:
    ours = {name for name, kind in EncoderConfig.family.items() if kind.__module__.startswith("unlabeled.")}
    assert {config.name for config, _ in TestEncoders.encoders.values()} == ours
