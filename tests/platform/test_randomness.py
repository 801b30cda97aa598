"""What draws from torch's generator is found before training where it is a layer, at the first step where it is not."""

import math
from collections.abc import Callable

import pytest
import timm.layers
import timm.models
import torch
import torch.nn.functional as F
import torchvision.ops
from torch import Tensor, nn

from unlabeled.platform.collective.randomness import check_no_dropout, keyed_only
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import ViT
from unlabeled.platform.errors import UserError
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import check_method
from unlabeled.platform.train.loop import Training

CPU = torch.device("cpu")


def vit(**fields: float) -> nn.Module:
    return timm.models.VisionTransformer(
        img_size=16, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=0, **fields
    )


LAYERS: dict[str, Callable[[float], nn.Module]] = {
    "Dropout": nn.Dropout,
    "Dropout2d": nn.Dropout2d,
    "AlphaDropout": nn.AlphaDropout,
    "FeatureAlphaDropout": nn.FeatureAlphaDropout,
    "DropPath": timm.layers.DropPath,
    "DropBlock2d": lambda rate: timm.layers.DropBlock2d(rate, block_size=3),
    "PatchDropout": lambda rate: timm.layers.PatchDropout(rate),
    "StochasticDepth": lambda rate: torchvision.ops.StochasticDepth(rate, "row"),
    "DropBlock2d of torchvision": lambda rate: torchvision.ops.DropBlock2d(rate, 3),
    "MultiheadAttention": lambda rate: nn.MultiheadAttention(8, 2, dropout=rate),
    "GRU": lambda rate: nn.GRU(4, 4, num_layers=2, dropout=rate),
    "TransformerEncoderLayer": lambda rate: nn.TransformerEncoderLayer(8, 2, 8, dropout=rate),
    "ResNet": lambda rate: timm.models.resnet18(drop_rate=rate),
    "drop path of a ViT": lambda rate: vit(drop_path_rate=rate),
    "attention of a ViT": lambda rate: vit(attn_drop_rate=rate),
    "patches of a ViT": lambda rate: vit(patch_drop_rate=rate),
    "positions of a ViT": lambda rate: vit(pos_drop_rate=rate),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_drops_is_named_and_one_with_rate_0_is_fine(name: str) -> None:
    check_no_dropout(nn.Sequential(LAYERS[name](0.0)), "simclr")
    with pytest.raises(
        UserError, match=r"^simclr can't be trained with 0[.\w]*, an? \w+ with \w+ 0\.\d+: .*; set \w+ to 0"
    ):
        check_no_dropout(nn.Sequential(LAYERS[name](0.25)), "simclr")


def test_what_is_random_without_dropping_is_refused_and_what_is_called_drop_without_a_rate_is_not() -> None:
    with pytest.raises(UserError, match=r"with 1, an RReLU: .* take a ReLU"):
        check_no_dropout(nn.Sequential(nn.ReLU(), nn.RReLU()), "simclr")
    layer = nn.Linear(2, 2)
    layer.drop_last, layer.num_dropped = True, 3  # type: ignore[assignment]
    check_no_dropout(layer, "simclr")


def test_drop_path_in_an_encoder_is_refused_before_training(small_run: RunConfig, small_data: Data) -> None:
    """It would be another on two workers, as torch's generator belongs to one of them."""
    with torch.device("meta"):
        encoder = ViT(small_data.format, vit(drop_path_rate=0.3), fits=lambda image_px: None)
        method = small_run.method.build(encoder, small_data)
    with pytest.raises(UserError, match=r"simclr can't be trained with encoder.model.blocks.1.drop_path1, a DropPath"):
        check_method(method, small_run)


@pytest.mark.parametrize("micro_batch", [None, 16])
def test_a_step_that_draws_from_torchs_generator_is_refused(
    micro_batch: int | None, small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    class Hidden(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.5, training=self.training)

    training = Training(small_run.with_field("micro_batch", micro_batch), small_data, processor)
    next(training.steps())
    training.method.head = nn.Sequential(Hidden(), training.method.head)
    with pytest.raises(
        UserError, match=r"simclr drew from torch's generator while it trained .* draw from batch.draws"
    ):
        next(training.steps())


def test_a_generator_that_is_set_back_to_where_it_was_is_left_alone() -> None:
    with keyed_only("simclr", CPU), torch.random.fork_rng():
        torch.manual_seed(0)
        assert math.isfinite(torch.rand(()).item())
