"""The context encoder against loops over its equations, and its two players against objectives taken apart."""

import copy
import math

import pytest
import torch
from formats import by_hand, format_of, plain
from torch import Tensor, nn
from torch.testing import assert_close

from unlabeled.methods.masked.context_encoder import ChannelwiseLinear, ContextEncoder, ContextEncoderConfig
from unlabeled.platform.augment import PLAIN, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.optim import AdamW
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import check_built, check_fits
from unlabeled.platform.train.loop import Training

B = 6
WEIGHTS = {"reconstruction": (1.0, 0.0), "adversarial": (0.0, 1.0), "joint": (0.999, 0.001)}  # of eq. 3


def build(px: int = 28, channels: int = 1, **fields: object) -> ContextEncoder:
    """Build a small one in float64."""
    torch.manual_seed(0)
    config = ContextEncoderConfig.checked(**{"width": 32, "region": "centre", **fields})
    return ContextEncoder(config, ConvNetConfig(width=4).build(format_of(channels, px)), channels, px).double()


def batch_of(px: int = 28, channels: int = 1, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(B)
    view = torch.randn(B, channels, px, px, generator=generator, dtype=torch.float64)
    return Batch(views=(view,), index=rows, draws=Draws(rows, 0, seed))


# ---- the hole ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("px", "hole", "first", "last"), [(28, 0.5, 7, 20), (32, 0.25, 12, 19), (21, 0.5, 5, 14)])
def test_the_hole_is_the_square_in_the_middle(px: int, hole: float, first: int, last: int) -> None:
    method, batch = build(px, hole=hole), batch_of(px)
    hidden = method.hidden(batch.views[0], batch.draws)
    expected = torch.zeros(B, 1, px, px, dtype=torch.bool)
    expected[:, :, first : last + 1, first : last + 1] = True
    assert torch.equal(hidden, expected)
    assert torch.equal(method.part(batch.views[0]).flatten(), batch.views[0][expected])


def test_blocks_are_four_squares_at_random_that_may_overlap() -> None:
    method, rows = build(region="blocks"), torch.arange(500)
    draws = Draws(rows, 0)
    hidden = method.hidden(torch.zeros(500, 1, 28, 28), draws)
    expected = torch.zeros(500, 1, 28, 28, dtype=torch.bool)
    for row, corners in enumerate(draws.integers("blocks", 28 - 7 + 1, 4, 2).tolist()):
        for top, left in corners:
            expected[row, 0, top : top + 7, left : left + 7] = True
    assert torch.equal(hidden, expected)
    share = hidden.float().mean(dim=(1, 2, 3))
    assert share.max() == 0.25, "as much as the square, where none overlap"
    assert 0.15 < share.mean() < 0.25
    assert share.min() >= 0.25 / 4
    many = method.hidden(torch.zeros(3000, 1, 28, 28), Draws(torch.arange(3000), 0))
    assert many.any(dim=0).all(), "every pixel has its turn, even a corner"


@pytest.mark.parametrize("region", ["centre", "blocks"])
def test_nothing_that_is_hidden_reaches_the_encoder(region: str) -> None:
    method, batch = build(region=region).eval(), batch_of()
    (x,) = batch.views
    hidden = method.hidden(x, batch.draws)
    painting = method.paint(x, hidden)
    noise = torch.randn_like(x)
    assert torch.equal(method.paint(torch.where(hidden, noise, x), hidden), painting)
    assert torch.equal(method.paint(torch.where(hidden, torch.nan, x), hidden), painting)
    changed = method.paint(torch.where(hidden, x, noise), hidden)
    assert (changed != painting).flatten(1).any(dim=1).all()


@pytest.mark.parametrize("region", ["centre", "blocks"])
def test_pictures_show_the_hole_and_what_was_painted_there_alone(region: str) -> None:
    method, batch = build(32, channels=3, region=region).eval(), batch_of(32, channels=3)
    (x,) = batch.views
    hidden = method.hidden(x, batch.draws)
    before = x.clone()
    columns = method.figures(batch)["inpainting"].columns
    assert list(columns) == ["original", "hole", "inpainted"]
    assert torch.equal(columns["original"], before)
    mean = torch.tensor(format_of(3, 32).mean).double().view(3, 1, 1)
    assert torch.equal(columns["hole"], torch.where(hidden, mean, x)), "to the encoder, 0"
    seen = ~hidden.expand_as(x)
    assert torch.equal(columns["inpainted"][seen], x[seen])
    painting = method.paint(x, hidden)
    shown = method.part(columns["inpainted"])
    assert_close(
        by_hand(shown, format_of(3, 32))[method.part(hidden).expand_as(shown)],
        painting[method.part(hidden).expand_as(painting)],
    )


# ---- the losses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("region", ["centre", "blocks"])
def test_reconstruction_is_the_mean_squared_error_of_each_pictures_hidden_values(region: str) -> None:
    method, batch = build(16, channels=3, region=region).eval(), batch_of(16, channels=3)
    (x,) = batch.views
    hidden = method.hidden(x, batch.draws)
    painting = torch.zeros_like(x)
    method.part(painting).copy_(method.paint(x, hidden).detach())
    of_pictures, x = [], by_hand(x, format_of(3, 16))
    for i in range(B):
        squares = []
        for c in range(3):
            for row in range(16):
                for column in range(16):
                    if hidden[i, 0, row, column]:
                        squares.append(float(painting[i, c, row, column] - x[i, c, row, column]) ** 2)
        of_pictures.append(sum(squares) / len(squares))
    result = method(batch)
    assert_close(result.loss.item(), sum(of_pictures) / B, rtol=1e-12, atol=0.0)
    assert_close(result.logs["inpaint/reconstruction"], result.loss.detach())


def players(method: ContextEncoder) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    assert method.discriminator is not None
    painter = [*method.encoder.parameters(), *method.decoder.parameters()]
    return painter, list(method.discriminator.parameters())


def losses_of(method: ContextEncoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return eq. 1, and eq. 2's mean inside the maximum, with probabilities as they are written there."""
    (x,) = batch.views
    hidden = method.hidden(x, batch.draws)
    assert method.discriminator is not None
    painting = method.paint(x, hidden)
    where = method.part(hidden).expand_as(painting)
    truth = method.part(by_hand(x, format_of(*x.shape[1:3])))
    square = torch.where(where, painting - truth, 0.0).square()
    real = method.discriminator(truth).sigmoid().log().mean()
    fake = (1.0 - method.discriminator(painting).sigmoid()).log().mean()
    return (square.flatten(1).sum(dim=1) / where.flatten(1).sum(dim=1)).mean(), real + fake


@pytest.mark.parametrize("region", ["centre", "blocks"])
@pytest.mark.parametrize("loss", ["adversarial", "joint"])
def test_one_backward_gives_each_player_the_gradient_of_its_own_objective(loss: str, region: str) -> None:
    """The painter descends lambda_rec L_rec + lambda_adv L_adv, the discriminator climbs L_adv: eq. 3 and 2."""
    method, batch = build(loss=loss, region=region), batch_of()
    apart = copy.deepcopy(method)
    painter, judge = players(apart)
    weight_rec, weight_adv = WEIGHTS[loss]
    reconstruction, adversarial = losses_of(apart, batch)
    of_painter = torch.autograd.grad(weight_rec * reconstruction + weight_adv * adversarial, painter, retain_graph=True)
    of_judge = torch.autograd.grad(-adversarial, judge)

    result = method(batch)
    result.loss.backward()
    assert_close(result.loss, weight_rec * reconstruction - adversarial, rtol=1e-12, atol=1e-12)
    ours_painter, ours_judge = players(method)
    for ours, theirs in zip([*ours_painter, *ours_judge], [*of_painter, *of_judge], strict=True):
        assert_close(ours.grad, theirs, rtol=1e-8, atol=1e-12)
    assert max(float(gradient.abs().max()) for gradient in of_painter) > 1e-4
    for name, value in apart.state_dict().items():
        assert_close(method.state_dict()[name], value), name  # running statistics among them: real first, then painted


def test_the_discriminator_normalises_true_and_painted_pictures_apart() -> None:
    method, batch = build(32, loss="adversarial"), batch_of(32)
    assert method.discriminator is not None
    sizes: list[int] = []
    norms = [layer for layer in method.discriminator.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    method(batch)
    assert norms
    assert sizes == [B, B] * len(norms)


def test_the_discriminators_accuracy_is_logged() -> None:
    method, batch = build(loss="joint"), batch_of()
    assert method.discriminator is not None
    head = method.discriminator[-1]  # type: ignore[index]
    for bias, expected in [(100.0, 0.5), (-100.0, 0.5)]:
        nn.init.constant_(head.bias, bias)  # all are true, or all painted
        assert method(batch).logs["inpaint/discriminator"] == expected
    assert build().discriminator is None
    assert list(build()(batch).logs) == ["inpaint/reconstruction"]


def test_at_a_coin_toss_the_discriminators_loss_is_twice_log_2() -> None:
    method, batch = build(loss="adversarial"), batch_of()
    assert method.discriminator is not None
    nn.init.zeros_(method.discriminator[-1].weight)  # type: ignore[index]
    nn.init.zeros_(method.discriminator[-1].bias)  # type: ignore[index]
    assert_close(method(batch).loss.item(), 2.0 * math.log(2.0), rtol=1e-12, atol=0.0)


# ---- the networks --------------------------------------------------------------------------------------------------


def test_the_channelwise_layer_is_a_fully_connected_layer_for_each_channel() -> None:
    torch.manual_seed(0)
    layer = ChannelwiseLinear(5, 12).double()
    nn.init.normal_(layer.bias)
    x = torch.randn(B, 5, 3, 4, dtype=torch.float64)
    y = layer(x)
    assert y.shape == x.shape
    for channel in range(5):
        own = nn.Linear(12, 12).double()
        own.weight.data, own.bias.data = layer.weight[channel].data, layer.bias[channel].data
        assert_close(y[:, channel].flatten(1), own(x[:, channel].flatten(1)), rtol=1e-12, atol=1e-12)
    assert sum(p.numel() for p in layer.parameters()) == 5 * 12 * (12 + 1)


@pytest.mark.parametrize(
    ("encoder", "px", "hole"),
    [("convnet", 28, 0.5), ("convnet", 33, 0.15), ("convnet", 32, 0.9), ("vit", 28, 0.5), ("vit", 16, 0.25)],
)
@pytest.mark.parametrize("region", ["centre", "blocks"])
def test_the_painting_has_the_size_of_what_is_painted(encoder: str, px: int, hole: float, region: str) -> None:
    config = ContextEncoderConfig.checked(width=32, hole=hole, region=region, loss="joint")
    small = ViTConfig(width=4, depth=1) if encoder == "vit" else ConvNetConfig(width=4)
    method = ContextEncoder(config, small.build(plain(3, px)), 3, px)
    view = torch.randn(2, 3, px, px)
    rows = torch.arange(2)
    painting = method.paint(view, method.hidden(view, Draws(rows, 0)))
    assert painting.shape == method.part(view).shape
    assert method(Batch(views=(view,), index=rows, draws=Draws(rows, 0))).loss.isfinite()


def test_building_leaves_the_encoder_as_it_was_and_takes_no_memory_where_none_is_wanted(small_data: Data) -> None:
    encoder = ConvNetConfig(width=4).build(plain(1, 28))
    before = copy.deepcopy(encoder.state_dict())
    method = ContextEncoderConfig(width=32).build(encoder, small_data)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(part.training for part in method.modules())
    meta = check_built(RunConfig(method=ContextEncoderConfig(loss="joint", region="centre"), batch_size=64), small_data)
    assert all(parameter.is_meta for parameter in meta.parameters())


# ---- training, and what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["reconstruction", "joint"])
def test_painting_gets_better_on_real_pictures(loss: str, processor: Processor) -> None:
    run = RunConfig(
        method=ContextEncoderConfig(views=ViewPlan(views=(PLAIN,)), region="centre", width=32, loss=loss),
        data=DataConfig(name="fashion-mnist-12k", train_images=256),
        encoder=ConvNetConfig(width=4),
        optimizer=AdamW(learning_rate=5e-3),
        epochs=3,
        batch_size=32,
    )
    epochs = [epoch["inpaint/reconstruction"] for epoch in Training(run, load(run.data), processor).epochs()]
    assert epochs[-1] < 0.7 * epochs[0]


def test_against_still_paintings_the_discriminator_wins(processor: Processor, small_data: Data) -> None:
    run = RunConfig(
        method=ContextEncoderConfig(views=ViewPlan(views=(PLAIN,)), region="centre", width=32, loss="adversarial"),
        data=DataConfig(name="fashion-mnist-12k", train_images=256),
        encoder=ConvNetConfig(width=4),
        optimizer=AdamW(learning_rate=5e-3),
        epochs=3,
        batch_size=32,
    )
    training = Training(run, small_data, processor)
    assert isinstance(training.method, ContextEncoder)
    training.method.decoder.requires_grad_(False)
    training.method.encoder.requires_grad_(False)
    epochs = list(training.epochs())
    assert epochs[-1]["train/loss"] < 0.7 * epochs[0]["train/loss"]
    assert epochs[-1]["inpaint/discriminator"] > 0.9


@pytest.mark.parametrize(("hole", "px"), [(0.1, 3), (0.97, 27)])
def test_a_hole_that_cannot_be_painted_is_refused(hole: float, px: int, small_data: Data) -> None:
    run = RunConfig(method=ContextEncoderConfig(hole=hole), batch_size=64)
    with pytest.raises(UserError, match=rf"method\.hole {hole} is {px} px of 28; set a share that makes 4 to 26 px"):
        check_fits(run, small_data)
    check_fits(RunConfig(method=ContextEncoderConfig(hole=4 / 28), batch_size=64), small_data)


@pytest.mark.parametrize("hole", [0.0, 1.0, -0.5, 1.5])
def test_a_share_outside_0_to_1_is_refused(hole: float) -> None:
    with pytest.raises(UserError, match=r"hole: Input should be (greater|less) than [01], got"):
        ContextEncoderConfig.checked(hole=hole)
