"""DINO against its paper's pseudo-code, and its parts alone: schedules, head, views by size, pictures of attention."""

import math
from dataclasses import replace

import pytest
import torch
from formats import plain
from torch import Tensor, nn
from torch.testing import assert_close

from unlabeled.methods.distillation.dino import DINO, DINOConfig, distillation
from unlabeled.methods.parts import MomentumCopy, by_size, multi_crop
from unlabeled.methods.prototypes import PrototypeHead, gelu_head
from unlabeled.platform.augment import PLAIN, Crop, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.optim import SGD, AdamW, OptimizerConfig
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import check_built, check_fits
from unlabeled.platform.train.loop import Training

B, K = 3, 5
VIT, CONVNET = ViTConfig(width=8, depth=2), ConvNetConfig(width=4)
SIZES = (16, 16, 8, 8)  # two global views and two local ones


def small(**fields: object) -> DINOConfig:
    settings = {"views": multi_crop(2, 8), "head": (12, 6), "prototypes": K, "frozen": 0.0, **fields}
    return DINOConfig.checked(**settings)


def build(config: DINOConfig, encoder: EncoderConfig = VIT) -> DINO:
    """Build DINO in float64, with a teacher and a centre that have gone their own way."""
    torch.manual_seed(0)
    dino = config.build(encoder.build(plain(1, 16)), load(DataConfig(train_images=256))).double()
    with torch.no_grad():
        for parameter in dino.teacher.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        dino.center.copy_(torch.randn(K) / 10)
    return dino


def batch_of(sizes: tuple[int, ...] = SIZES) -> Batch:
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(B)
    views = tuple(torch.randn(B, 1, px, px, generator=generator, dtype=torch.float64) for px in sizes)
    return Batch(views=views, index=rows, draws=Draws(rows, 0))


# ---- the whole -----------------------------------------------------------------------------------------------------


def probabilities(outputs: Tensor, temperature: float) -> list[float]:
    """Return eq. 1 of one image's outputs [K], term by term."""
    powers = [math.exp(float(output) / temperature) for output in outputs]
    return [power / sum(powers) for power in powers]


def cross_entropy(p: list[float], q: list[float]) -> float:
    return -sum(a * math.log(b) for a, b in zip(p, q, strict=True))


def teacher_of(dino: DINO, batch: Batch) -> list[Tensor]:
    return [dino.teacher(view) for view in batch.views[:2]]


@pytest.mark.parametrize("sizes", [(16, 16), (16, 16, 8), (16, 16, 8, 12, 8)])
@pytest.mark.parametrize("centering", [True, False])
def test_the_loss_is_the_pseudo_codes_over_all_pairs_of_different_views(
    sizes: tuple[int, ...], centering: bool
) -> None:
    dino = build(small(centering=centering, teacher_temperature=(0.05, 0.05)))
    batch, center, norm = batch_of(sizes), dino.center.clone() * centering, dino.center.square().sum().sqrt()
    with torch.no_grad():
        students = [dino.head(dino.encoder(view)) for view in batch.views]
    teachers = teacher_of(dino, batch)
    losses, entropies = [], []
    for place, teacher in enumerate(teachers):
        for row in range(B):
            p = probabilities(teacher[row] - center, 0.05)
            entropies.append(cross_entropy(p, p))
            for other, student in enumerate(students):
                if other != place:
                    losses.append(cross_entropy(p, probabilities(student[row], 0.1)))
    assert len(losses) == B * 2 * (len(sizes) - 1)
    result = dino(batch)
    loss, entropy = sum(losses) / len(losses), sum(entropies) / len(entropies)
    assert_close(result.loss.item(), loss, rtol=1e-6, atol=0.0)  # the share of training done is kept in float32
    assert_close(float(result.logs["distill/teacher_entropy"]), entropy, rtol=1e-6, atol=0.0)
    assert_close(float(result.logs["distill/kl"]), loss - entropy, rtol=1e-5, atol=0.0)
    assert_close(result.logs["distill/center_norm"], norm)


def test_with_more_global_views_each_is_a_target() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(3, B, K, generator=generator, dtype=torch.float64)
    student = torch.randn(4, B, K, generator=generator, dtype=torch.float64)
    expected = [
        cross_entropy(probabilities(teacher[g, row], 0.5), probabilities(student[v, row], 0.1))
        for g in range(3)
        for v in range(4)
        for row in range(B)
        if g != v
    ]
    loss, _ = distillation(teacher, student, 0.5, 0.1)
    assert_close(float(loss), sum(expected) / len(expected), rtol=1e-12, atol=0.0)


def test_the_centre_moves_by_the_mean_output_after_the_loss_used_it() -> None:
    dino, batch = build(small(center_momentum=0.7)), batch_of()
    before = dino.center.clone()
    outputs = teacher_of(dino, batch)
    first = dino(batch)
    for k in range(K):
        mean = sum(float(view[row, k]) for view in outputs for row in range(B)) / (2 * B)
        assert_close(float(dino.center[k]), 0.7 * float(before[k]) + 0.3 * mean, rtol=1e-6, atol=1e-9)
    assert dino(batch).loss != first.loss
    dino.center.copy_(before)
    assert dino(batch).loss == first.loss


@pytest.mark.parametrize("encoder", [VIT, CONVNET])
def test_the_teacher_sees_global_views_alone_and_no_gradient(encoder: EncoderConfig) -> None:
    dino, batch = build(small(), encoder), batch_of()
    seen: list[Tensor] = []
    dino.teacher.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    dino(batch).loss.backward()
    assert torch.equal(torch.cat(seen), torch.cat(batch.views[:2]))
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in dino.teacher.parameters())
    assert all(parameter.grad.abs().max() > 0.0 for parameter in dino.encoder.parameters())  # type: ignore[union-attr]
    optimised = {p for group in SGD().build(dino).param_groups for p in group["params"]}
    assert optimised == {*dino.encoder.parameters(), *dino.head.parameters()}


def test_the_teachers_temperature_rises_over_its_warm_up_and_stays() -> None:
    dino, batch = build(small(teacher_temperature=(0.04, 0.07), warmup=0.5, momentum=1.0)), batch_of()
    center = dino.center.clone()
    for progress, temperature in [(0.0, 0.04), (0.125, 0.0475), (0.25, 0.055), (0.5, 0.07), (0.75, 0.07), (1.0, 0.07)]:
        dino.center.copy_(center)
        p = [probabilities(row, temperature) for view in teacher_of(dino, batch) for row in view - center]
        entropy = sum(cross_entropy(each, each) for each in p) / len(p)
        assert_close(
            float(dino(replace(batch, progress=progress)).logs["distill/teacher_entropy"]), entropy, rtol=1e-5, atol=0.0
        )


@pytest.mark.parametrize("optimizer", [AdamW(weight_decay=0.5), SGD(weight_decay=0.5)])
def test_nothing_moves_the_prototypes_while_they_are_frozen(
    optimizer: OptimizerConfig, small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    """Neither decay nor what an optimiser counts or remembers of steps without a gradient."""
    run = small_run.with_field("method", small(frozen=0.5, views=multi_crop(1, 12))).with_field("optimizer", optimizer)
    training = Training(run, small_data, processor)
    dino = training.method
    assert isinstance(dino, DINO)
    prototypes, start = dino.head.last.weight, dino.head.last.weight.detach().clone()
    for step in training.steps():
        assert torch.equal(prototypes, start) == (step <= 4)
        assert (prototypes in training.optimizer.state) == (step > 4)
        assert dino.head.mlp[0].weight in training.optimizer.state
    assert training.step == 8
    assert optimizer.name == "sgd" or training.optimizer.state[prototypes]["step"] == 4


def test_no_centre_lets_one_output_win_and_no_sharpening_makes_all_equal() -> None:
    """The two ways to collapse, at the fixed points that sec. 5.3 names."""
    same = torch.zeros(2, B, K, dtype=torch.float64)
    same[..., 1] = 1.0
    uncentred = distillation(same, same, 0.01, 0.01)
    assert_close(torch.stack(uncentred), torch.zeros(2, dtype=torch.float64), rtol=0.0, atol=1e-12)
    centred = distillation(same - same.mean(dim=(0, 1)), torch.zeros_like(same), 0.01, 0.01)
    assert_close(torch.stack(centred), torch.full((2,), math.log(K), dtype=torch.float64))


def test_the_teacher_follows_ever_more_slowly(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    config = small(momentum=0.5, views=multi_crop(1, 12))
    training = Training(small_run.with_field("method", config), small_data, processor)
    dino = training.method
    assert isinstance(dino, DINO)
    steps = training.steps()
    next(steps), next(steps)
    before = dino.teacher.twin[1].last.weight.clone()  # type: ignore[index,union-attr]
    next(steps)
    momentum = 1.0 - 0.5 * (math.cos(math.pi * 3 / 8) + 1) / 2
    expected = momentum * before + (1 - momentum) * dino.head.last.weight.detach()
    assert_close(dino.teacher.twin[1].last.weight, expected)  # type: ignore[index,union-attr]


# ---- what is refused -----------------------------------------------------------------------------------------------


def test_fewer_views_than_global_ones_are_refused(small_run: RunConfig, small_data: Data) -> None:
    one = small(views=ViewPlan(views=(PLAIN,)))
    with pytest.raises(UserError, match=r"method\.global_views 2 is more than the plan's 1 views; set method\.views"):
        check_fits(small_run.with_field("method", one), small_data)
    with pytest.raises(UserError, match=r"global_views: Input should be greater than or equal to 2, got 1"):
        small(global_views=1)


def test_a_view_of_broken_patches_is_refused(small_run: RunConfig, small_data: Data) -> None:
    run = small_run.with_field("method", small(views=multi_crop(1, 10)))
    check_built(run, small_data)  # a convnet takes it
    with pytest.raises(UserError, match=r"view 3 of method\.views has 10 px, .* patches of 4 px .* crop it to 12, or"):
        check_built(run.with_field("encoder", VIT), small_data)


def test_the_default_plan_is_the_papers() -> None:
    plan = multi_crop()
    assert [view.policy.ops[0] for view in plan.views] == [Crop(area=(0.4, 1.0))] * 2 + [
        Crop(area=(0.05, 0.4), size=96)
    ] * 8
    assert [view.summary.count("Solarize") for view in plan.views] == [0, 1] + [0] * 8


# ---- its parts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("progress", "momentum"), [(0.0, 0.9), (1 / 3, 0.925), (0.5, 0.95), (2 / 3, 0.975), (1.0, 1.0)]
)
def test_the_momentum_rises_along_half_a_cosine(progress: float, momentum: float) -> None:
    source = nn.Linear(2, 3).double()
    twin = MomentumCopy(source, 0.9, final=1.0)
    before = twin.twin.weight.clone()  # type: ignore[operator]
    with torch.no_grad():
        source.weight.add_(1.0)
    twin.follow(progress)
    assert_close(twin.twin.weight, momentum * before + (1 - momentum) * source.weight, rtol=1e-12, atol=1e-12)


def test_the_heads_outputs_are_cosines() -> None:
    torch.manual_seed(0)
    head = PrototypeHead(gelu_head(7, (6, 5, 4)), 4, K).double()
    assert isinstance(head.mlp, nn.Sequential)
    assert [type(layer) for layer in head.mlp] == [nn.Linear, nn.GELU, nn.Linear, nn.GELU, nn.Linear]
    x = torch.randn(2, B, 7, dtype=torch.float64)
    made = head(x)
    for i in range(2):
        for j in range(B):
            z = head.mlp(x[i, j])
            for k, prototype in enumerate(head.last.weight):
                assert_close(made[i, j, k], z @ prototype / (z.norm() * prototype.norm()))


def test_views_of_one_size_go_together_and_keep_their_places() -> None:
    seen: list[list[int]] = []

    def net(x: Tensor) -> Tensor:
        seen.append([*x.shape])
        return x.mean(dim=(1, 2, 3))[:, None]

    views = [torch.full((B, 1, px, px), float(number)) for number, px in enumerate((8, 4, 8, 6, 4))]
    assert torch.equal(by_size(net, views), torch.arange(5.0)[:, None, None].expand(-1, B, 1))
    assert seen == [[2 * B, 1, 8, 8], [2 * B, 1, 4, 4], [B, 1, 6, 6]]


# ---- pictures ------------------------------------------------------------------------------------------------------


def test_pictures_show_each_heads_attention_from_dark_to_white() -> None:
    dino, batch = build(small()).eval(), batch_of((16, 16))
    images = batch.views[0]
    with torch.no_grad():
        columns = dino.figures(batch)["attention"].columns
        attention = dino.encoder.attention(images)  # type: ignore[operator]
    assert list(columns) == ["picture", "head 1", "head 2", "mean"]
    for title, weights in [("head 1", attention[:, 0]), ("head 2", attention[:, 1]), ("mean", attention.mean(dim=1))]:
        shown = columns[title]
        for row in range(B):
            for place in range(16):
                top, left = 4 * (place // 4), 4 * (place % 4)
                expected = weights[row, 0, 1 + place] / weights[row, 0, 1:].max()
                assert_close(shown[row, 0, top : top + 4, left : left + 4], expected.expand(4, 4))
    assert build(small(), CONVNET).figures(batch) == {}
