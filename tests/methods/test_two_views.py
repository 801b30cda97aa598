"""BYOL, SimSiam, Barlow Twins and VICReg against loops, numpy's correlations and covariances; and how they collapse."""

import numpy as np
import torch
from formats import plain
from torch import Tensor, nn
from torch.testing import assert_close

from unlabeled.methods.contrastive.barlow_twins import BarlowTwinsConfig, correlation
from unlabeled.methods.contrastive.vicreg import VICRegConfig
from unlabeled.methods.distillation.byol import BYOLConfig
from unlabeled.methods.distillation.simsiam import SimSiamConfig
from unlabeled.methods.parts import spread
from unlabeled.platform.augment import BYOL as BYOL_VIEWS
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.evaluate import deviation, extract
from unlabeled.platform.method import Batch, Method, MethodConfig
from unlabeled.platform.optim import SGD
from unlabeled.platform.processor import Processor
from unlabeled.platform.testing.examples import run_of
from unlabeled.platform.train.loop import Training

B, D = 6, 5
ROWS = torch.arange(B)


def build(config: MethodConfig, data: Data) -> Method:
    torch.manual_seed(0)
    return config.build(ConvNetConfig(width=4).build(plain(1, 16)), data).double().train()


def batch_of(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    views = tuple(torch.rand(B, 1, 16, 16, generator=generator, dtype=torch.float64) for _ in range(2))
    return Batch(views=views, index=ROWS, draws=Draws(ROWS, 0))


def cos(one: Tensor, other: Tensor) -> float:
    """Return the cosine of two vectors, number by number."""
    pairs = list(zip(one.tolist(), other.tolist(), strict=True))
    lengths = [sum(pair[which] ** 2 for pair in pairs) ** 0.5 for which in (0, 1)]
    return float(sum(a * b for a, b in pairs) / (lengths[0] * lengths[1]))


def embeddings() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shared = torch.randn(B, D, generator=generator, dtype=torch.float64)
    return tuple(shared + 0.3 * torch.randn(B, D, generator=generator, dtype=torch.float64) + 2.0 for _ in range(2))  # type: ignore[return-value]


# ---- distillation ----------------------------------------------------------------------------------------------------


def test_byols_loss_is_eq_2_both_ways(small_data: Data) -> None:
    byol, batch = build(BYOLConfig(head=(8, D), predictor=(7,)), small_data), batch_of()
    with torch.no_grad():  # a target that has gone its own way
        for parameter in byol.target.parameters():  # type: ignore[union-attr]
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
        predicted = [byol.predictor(byol.head(byol.encoder(view))) for view in batch.views]  # type: ignore[operator]
        targets = [byol.target(view) for view in batch.views]  # type: ignore[operator]
    distances = [
        sum(
            (predicted[own][row] / predicted[own][row].norm() - targets[1 - own][row] / targets[1 - own][row].norm())
            ** 2
        )
        for own in (0, 1)
        for row in range(B)
    ]
    result = byol(batch)
    assert_close(result.loss, torch.stack(distances).sum() / B)
    result.loss.backward()
    assert all(parameter.grad is None for parameter in byol.target.parameters())  # type: ignore[union-attr]


def test_byols_target_follows_by_a_cosine_to_the_end(small_data: Data) -> None:
    byol = build(BYOLConfig(head=(8, D), predictor=(7,), momentum=0.9), small_data)
    own, target = byol.head[0].weight, byol.target.twin[1][0].weight  # type: ignore[index,union-attr]
    assert torch.equal(own, target)
    with torch.no_grad():
        own.add_(1.0)
    before = target.clone()
    byol.after_step(0.5)  # halfway from 0.9 to 1
    assert_close(target, 0.95 * before + 0.05 * own)
    byol.after_step(1.0)
    assert_close(target, 0.95 * before + 0.05 * own, msg="at the end it stays")


def test_simsiams_loss_is_eq_4_and_what_is_predicted_is_given(small_data: Data) -> None:
    config = SimSiamConfig(head=(8, D), predictor=3)
    simsiam, batch = build(config, small_data), batch_of()
    z = [simsiam.head(simsiam.encoder(view)) for view in batch.views]  # type: ignore[operator]
    p = [simsiam.predictor(each) for each in z]  # type: ignore[operator]
    halves = [-cos(p[own][row], z[1 - own][row]) / 2 for own in (0, 1) for row in range(B)]
    loss = simsiam(batch).loss
    assert_close(loss.item(), sum(halves) / B)
    given = [each.detach() for each in z]
    by_hand = -sum(nn.functional.cosine_similarity(p[own], given[1 - own]).mean() for own in (0, 1)) / 2
    weights = list(simsiam.parameters())
    for found, wanted in zip(torch.autograd.grad(loss, weights), torch.autograd.grad(by_hand, weights), strict=True):
        assert_close(found, wanted)


def test_projections_end_in_batch_norm_without_scale(small_data: Data) -> None:
    simsiam = build(SimSiamConfig(head=(8, D), predictor=3), small_data)
    z = simsiam.head(simsiam.encoder(batch_of().views[0]))  # type: ignore[operator]
    assert_close(z.mean(dim=0), torch.zeros(D, dtype=torch.float64), atol=1e-9, rtol=0.0)
    assert (z.var(dim=0, correction=0) <= 1.0).all()


def test_the_spread_is_the_variance_of_unit_vectors() -> None:
    one, other = embeddings()
    units = [row / row.norm() for row in torch.cat([one, other])]
    assert_close(spread(one, other), torch.stack(units).var(dim=0, correction=0).sum())
    assert_close(spread(torch.ones(B, D), 3.0 * torch.ones(B, D)), torch.tensor(0.0), atol=1e-6, rtol=0.0)
    assert_close(spread(one, -one), torch.tensor(1.0, dtype=torch.float64))


# ---- contrast by dimensions ------------------------------------------------------------------------------------------


def test_barlow_twins_is_eq_1_of_numpys_correlations(small_data: Data) -> None:
    one, other = embeddings()
    c = np.corrcoef(one.numpy().T, other.numpy().T)[:D, D:]
    loss = sum((1 - c[i, i]) ** 2 if i == j else 0.03 * c[i, j] ** 2 for i in range(D) for j in range(D))
    result = build(BarlowTwinsConfig(head=(D,), off_diagonal=0.03), small_data).contrast((one, other), batch_of())  # type: ignore[operator]
    assert_close(result.loss.item(), loss)
    assert_close(result.logs["correlation/same"].item(), np.diag(c).mean())
    others = [c[i, j] ** 2 for i in range(D) for j in range(D) if i != j]
    assert_close(result.logs["correlation/others"].item(), (sum(others) / len(others)) ** 0.5)


def test_a_dimension_that_never_varies_correlates_with_nothing_and_moves_nothing() -> None:
    one, other = (z.clone().requires_grad_() for z in embeddings())
    still = one * torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0])
    c = correlation(still, other)
    assert not c[0].any()
    assert np.allclose(c[1:].detach(), np.corrcoef(one.detach().numpy().T, other.detach().numpy().T)[1:D, D:])
    c.square().sum().backward()
    assert one.grad is not None
    assert one.grad.isfinite().all()


def test_vicreg_is_eq_6_of_numpys_covariances(small_data: Data) -> None:
    one, other = (0.6 * z for z in embeddings())
    distance = sum((float(a) - float(b)) ** 2 for a, b in zip(one.flatten(), other.flatten(), strict=True)) / (B * D)
    v, c = [], []
    for z in (one, other):
        covariance = np.cov(z.numpy().T)
        v.append(sum(max(0.0, 1.0 - (covariance[j, j] + 1e-4) ** 0.5) for j in range(D)) / D)
        c.append(sum(covariance[i, j] ** 2 for i in range(D) for j in range(D) if i != j) / D)
    assert min(v) > 0.0
    config = VICRegConfig(head=(D,), invariance=2.0, variance=3.0, covariance=5.0)
    result = build(config, small_data).contrast((one, other), batch_of())  # type: ignore[operator]
    assert_close(result.loss.item(), 2.0 * distance + 3.0 * sum(v) + 5.0 * sum(c))
    assert_close(result.logs["views/variance"].item(), sum(v))


# ---- collapse --------------------------------------------------------------------------------------------------------


def test_without_its_variance_vicreg_gives_all_pictures_one_embedding(small_data: Data, processor: Processor) -> None:
    example = VICRegConfig.example()

    def end(method: MethodConfig) -> tuple[float, float]:
        training = Training(run_of(example, method, optimizer=SGD(learning_rate=0.1), epochs=8), small_data, processor)
        *_, last = training.epochs()
        head = training.method.layers()["head"]
        return last["views/variance"], deviation(extract(head, small_data.test, processor, 256).x)

    (kept, spread_out), (gone, collapsed) = end(example.method), end(example.method.with_field("variance", 0.0))
    assert kept < 0.7
    assert gone > 1.7, "2 is no variance in either view"
    assert collapsed < 0.8 * spread_out


def test_without_its_stop_gradient_simsiam_agrees_sooner_and_spreads_less(
    small_data: Data, processor: Processor
) -> None:
    """By half of what the least of three seeds gave."""
    example = SimSiamConfig.example()

    def end(method: MethodConfig) -> tuple[float, float]:
        *_, last = Training(run_of(example, method, epochs=8), small_data, processor).epochs()
        return last["train/loss"], last["distill/spread"]

    (loss, kept), (lower, less) = end(example.method), end(example.method.with_field("stop_gradient", False))
    assert lower < loss - 0.12
    assert less < kept - 0.02


def test_views_are_byols_two() -> None:
    """Appendix B: blur on the first always, on the second seldom; only the second is solarised."""
    first, second = ({op.name: op.p for op in policy.ops if hasattr(op, "p")} for policy in BYOL_VIEWS)
    assert (first.pop("gaussian-blur"), second.pop("gaussian-blur"), second.pop("solarize")) == (1.0, 0.1, 0.2)
    assert first == second
    assert BYOLConfig().views == BarlowTwinsConfig().views
