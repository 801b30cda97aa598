"""Encoders: pixels in, a feature vector out, and the grid of features or tokens that lead to it.

An encoder owns the mean and the standard deviation of the pictures that it was made for, and standardises by them
first: views, probes and whoever loads exported weights all show it pixels in [0, 1].

A family a file: ``convnet`` is ours, made for 28-32 px on a CPU; ``vit`` is a small ViT; ``named`` is every other
ResNet and ViT of timm, by its name there, at any image size; ``wave`` hears raw sound, and
``mfcc`` its cepstrum, with nothing to train.
"""

from unlabeled.platform.encoder.cepstrum import MFCC, MFCCConfig
from unlabeled.platform.encoder.config import EncoderConfig
from unlabeled.platform.encoder.convnet import ConvNet, ConvNetConfig
from unlabeled.platform.encoder.encoder import Encoder, Maps, StandardisingEncoder, with_blocks
from unlabeled.platform.encoder.named import TimmConfig
from unlabeled.platform.encoder.resnet import ResNet
from unlabeled.platform.encoder.sound import WaveConfig, WaveConvNet
from unlabeled.platform.encoder.vit import ViT, ViTConfig
from unlabeled.platform.encoder.weights import Weights

__all__ = [
    "MFCC",
    "ConvNet",
    "ConvNetConfig",
    "Encoder",
    "EncoderConfig",
    "MFCCConfig",
    "Maps",
    "ResNet",
    "StandardisingEncoder",
    "TimmConfig",
    "ViT",
    "ViTConfig",
    "WaveConfig",
    "WaveConvNet",
    "Weights",
    "with_blocks",
]
