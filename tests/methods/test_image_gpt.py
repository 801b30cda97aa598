"""Image GPT: its palette by another k-means, which tokens each is told from, its loss, and what it paints."""

import itertools
import math

import numpy as np
import pytest
import torch
from formats import format_of
from scipy.cluster.vq import kmeans2
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.autoregressive.image_gpt import ImageGPT, ImageGPTConfig
from unlabeled.methods.autoregressive.palette import CausalViT, counted, palette_of
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.train.built import check_built

B, PX, PATCH, COLORS = 3, 12, 4, 5
T = (PX // PATCH) ** 2
ENCODER = ViTConfig(width=4, depth=3, patch_px=PATCH)


@pytest.fixture(scope="module")
def emoji() -> Data:
    return load(DataConfig(name="emoji", train_images=64))


def method_of(channels: int = 3, **fields: object) -> ImageGPT:
    torch.manual_seed(0)
    config = ImageGPTConfig.checked(colors=COLORS, **fields)
    encoder = config.make_encoder(ENCODER, format_of(channels, PX))
    assert isinstance(encoder, CausalViT)
    encoder.colors.palette.copy_(torch.randint(256, (COLORS, channels), generator=torch.Generator().manual_seed(0)))
    method = ImageGPT(encoder, COLORS).double().eval()
    with torch.no_grad():
        method.tell.weight.normal_(generator=torch.Generator().manual_seed(1))
    return method


def batch_of(channels: int = 3) -> Batch:
    draws = Draws(torch.arange(B), 0, 0, "method")
    return Batch(views=(draws.uniform("x", channels, PX, PX).double(),), index=draws.rows, draws=draws)


# ---- colours ---------------------------------------------------------------------------------------------------------


def test_a_patch_is_the_nearest_colour_to_its_mean() -> None:
    method, (x,) = method_of(), batch_of().views
    found = method.encoder.colors.indices(x).view(B, PX // PATCH, PX // PATCH)
    for b, i, j in itertools.product(range(B), range(PX // PATCH), range(PX // PATCH)):
        patch = x[b, :, i * PATCH : (i + 1) * PATCH, j * PATCH : (j + 1) * PATCH].flatten(1)
        color = [sum(pixels.tolist()) / len(pixels) for pixels in patch]
        distances = [
            sum((255 * mine - theirs) ** 2 for mine, theirs in zip(color, center.tolist(), strict=True))
            for center in method.encoder.colors.palette
        ]
        assert found[b, i, j] == min(range(COLORS), key=distances.__getitem__)


def test_the_palette_is_no_worse_than_another_k_means_finds(emoji: Data) -> None:
    means = torch.nn.functional.avg_pool2d(emoji.pretrain.tensor(emoji.pretrain.rows, "image").double(), 8)
    colors = means.movedim(1, -1).flatten(0, 2)

    def spread(centers: Tensor) -> float:
        return float(torch.cdist(colors, centers.double()).square().amin(dim=1).mean())

    theirs = min(spread(torch.from_numpy(kmeans2(colors.numpy(), 8, minit="++", seed=seed)[0])) for seed in range(3))
    assert spread(palette_of(emoji.pretrain, 8, 8)) < 1.1 * theirs


def test_as_many_colours_as_there_are_are_all_kept_and_more_are_one_clear_line() -> None:
    data = load(DataConfig(name="fashion-mnist-12k", train_images=64))
    found = data.pretrain.tensor(data.pretrain.rows, "image").unique()  # type: ignore[no-untyped-call]
    assert palette_of(data.pretrain, len(found), 1).flatten().sort().values.tolist() == found.tolist()
    encoder = ViTConfig(patch_px=1)
    run = RunConfig.checked(
        method=ImageGPTConfig(colors=300), data=DataConfig(train_images=64), encoder=encoder, batch_size=64
    )
    rule = rf"^a palette of 300 colours is larger than the {len(found)} that patches of 1 px .* at most {len(found)}$"
    with pytest.raises(UserError, match=rule):
        check_built(run, data)


def test_an_encoder_that_knows_its_palette_keeps_it(emoji: Data) -> None:
    config, method = ImageGPTConfig(colors=COLORS), method_of()
    before = method.encoder.colors.palette.clone()
    asked = palette_of.cache_info()
    config.build(method.encoder, emoji)
    assert torch.equal(method.encoder.colors.palette, before)
    assert palette_of.cache_info() == asked, "none is looked for"
    method.encoder.colors.palette.zero_()
    config.build(method.encoder, emoji)
    assert torch.equal(method.encoder.colors.palette, palette_of(emoji.pretrain, COLORS, PATCH))


# ---- what is told ----------------------------------------------------------------------------------------------------


def test_each_token_is_told_from_exactly_those_before_it() -> None:
    method, index_BT = method_of(), torch.zeros(1, T, dtype=torch.int64)
    embedded = method.encoder.colors(index_BT).detach().requires_grad_()
    method.encoder.colors.forward = lambda _: embedded  # type: ignore[method-assign]
    logits = method.logits(index_BT)
    for place in range(T):
        (found,) = torch.autograd.grad(logits[0, place].square().sum(), embedded, retain_graph=True, allow_unused=True)
        reached = torch.zeros(T, dtype=torch.bool) if found is None else (found[0] != 0).any(dim=1)
        assert reached.tolist() == [other < place for other in range(T)]


def test_chances_of_all_pictures_sum_to_1() -> None:
    method = method_of()
    index = torch.tensor(list(itertools.product(range(COLORS), repeat=4)))
    shares = method.logits(index).log_softmax(dim=2).gather(2, index[:, :, None]).sum(dim=(1, 2)).exp()
    assert_close(shares.sum(), torch.ones((), dtype=torch.float64))


def test_the_loss_is_what_the_tokens_cost() -> None:
    method, batch = method_of(), batch_of()
    index_BT = method.encoder.colors.indices(batch.views[0])
    logits = method.logits(index_BT)
    nats = [-math.log(logits[b, t].softmax(dim=0)[index_BT[b, t]].item()) for b in range(B) for t in range(T)]
    result = method(batch)
    assert result.loss.item() == pytest.approx(sum(nats) / len(nats), rel=1e-6)
    assert result.logs["pixels/bits_per_token"].item() == pytest.approx(result.loss.item() / math.log(2))


def test_what_is_drawn_depends_on_what_was_drawn_before_alone() -> None:
    method, batch = method_of(), batch_of()
    index_BT, chance_BT = method.encoder.colors.indices(batch.views[0]), batch.draws.uniform("tell", T)
    with torch.no_grad():
        found = method.tell_on(index_BT, 3, chance_BT)
        assert torch.equal(found[:, :3], index_BT[:, :3])
        assert torch.equal(method.tell_on(index_BT.where(torch.arange(T) < 3, 0), 3, chance_BT), found)
        for b, place in itertools.product(range(B), range(3, T)):
            shares = method.logits(found)[b, place].softmax(dim=0).cumsum(dim=0)
            assert found[b, place] == sum(float(share) <= float(chance_BT[b, place]) for share in shares)


# ---- features --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [None, 1, 3])
def test_features_are_the_mean_of_a_block_as_the_next_one_sees_it(layer: int | None) -> None:
    method, (x,) = method_of(layer=layer), batch_of().views
    model, tokens, number = method.encoder.vit.model, [], 2 if layer is None else layer
    hook = model.blocks[number - 1].register_forward_hook(lambda _, __, made: tokens.append(made))
    found = method.encoder(x)
    hook.remove()
    norm = model.blocks[number].norm1 if number < 3 else model.norm
    assert_close(found, norm(tokens[0])[:, 1:].mean(dim=1))


@pytest.mark.parametrize(
    ("encoder", "layer", "message"),
    [
        (ConvNetConfig(), None, r"image-gpt needs a plain ViT with a class token, and encoder.name is convnet; set it"),
        (ENCODER, 4, r"method.layer 4 is none of the encoder's 3 blocks; set one of them"),
    ],
)
def test_another_encoder_is_one_clear_line(encoder: EncoderConfig, layer: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ImageGPTConfig(layer=layer).make_encoder(encoder, format_of(3, PX))


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_counted_as_numpy_does(channels: int) -> None:
    colors = torch.randint(250, 256, (5000, channels), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found, count = counted(torch.cat([colors, 255 - colors]))
    expected, times = np.unique(torch.cat([colors, 255 - colors]).numpy(), axis=0, return_counts=True)
    assert found.dtype == torch.uint8
    assert found.tolist() == expected.tolist()
    assert count.tolist() == times.tolist()
