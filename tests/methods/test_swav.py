"""SwAV against its authors' algorithm in loops, Sinkhorn-Knopp against a solver of its programme, and its queue."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from formats import plain
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.clustering.swav import SwAV, SwAVConfig, multi_crop
from unlabeled.methods.prototypes import sinkhorn
from unlabeled.platform.augment import PLAIN, Crop, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.optim import SGD
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import check_fits
from unlabeled.platform.train.loop import Training

B, K, D = 6, 5, 4
SIZES = (16, 16, 8)


def small(**fields: object) -> SwAVConfig:
    settings = {"views": multi_crop(1, 8), "head": (12, D), "prototypes": K, "frozen": 0.0, **fields}
    return SwAVConfig.checked(**settings)


def build(config: SwAVConfig, encoder: EncoderConfig | None = None) -> SwAV:
    torch.manual_seed(0)
    encoder = encoder or ConvNetConfig(width=4)
    return config.build(encoder.build(plain(1, 16)), load(DataConfig(train_images=256))).double()


def batch_of(sizes: tuple[int, ...] = SIZES) -> Batch:
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(B)
    views = tuple(torch.rand(B, 1, px, px, generator=generator, dtype=torch.float64) for px in sizes)
    return Batch(views=views, index=rows, draws=Draws(rows, 0))


def by_loops(scores: list[list[float]], epsilon: float, iterations: int = 3) -> list[list[float]]:
    """Return the authors' ``distributed_sinkhorn`` of one worker's rows, number by number."""
    rows, columns = len(scores), len(scores[0])
    q = [[math.exp(score / epsilon) for score in row] for row in scores]
    total = sum(sum(row) for row in q)
    q = [[value / total for value in row] for row in q]
    for _ in range(iterations):
        for k in range(columns):
            share = sum(row[k] for row in q)
            for row in q:
                row[k] /= share * columns
        for row in q:
            share = sum(row)
            row[:] = [value / (share * rows) for value in row]
    return [[value * rows for value in row] for row in q]


def scores_of(rows: int) -> Tensor:
    return torch.rand(rows, K, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1


# ---- Sinkhorn-Knopp ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("iterations", [1, 3])
def test_rows_are_shared_out_as_the_authors_do(iterations: int) -> None:
    scores = scores_of(B)
    expected = torch.tensor(by_loops(scores.tolist(), 0.05, iterations), dtype=torch.float64)
    assert_close(sinkhorn(scores, 0.05, iterations), expected, rtol=1e-10, atol=1e-300)
    assert_close(sinkhorn(scores, 0.05, iterations), expected, rtol=1e-6, atol=1e-300)
    assert_close(sinkhorn(scores, 0.05, 0), (scores / 0.05).softmax(dim=1))


def test_in_the_end_it_is_the_even_assignment_that_eq_3_asks_for() -> None:
    """Of a transport plan's rows and columns the logarithm is a sum of scores and of a number for each: as scipy's."""
    from scipy.optimize import linear_sum_assignment

    scores, epsilon = scores_of(2 * K), 0.2
    q = sinkhorn(scores, epsilon, 500)
    assert_close(q.sum(dim=0), torch.full((K,), 2.0, dtype=torch.float64), rtol=1e-9, atol=0.0)
    rest = q.log() - scores / epsilon
    rest = rest - rest.mean(dim=0) - rest.mean(dim=1, keepdim=True) + rest.mean()
    assert_close(rest, torch.zeros_like(rest), rtol=0.0, atol=1e-9)  # nothing but what rows and columns were scaled by
    sharp = sinkhorn(scores, 0.001, 2000).argmax(dim=1)
    row, column = linear_sum_assignment(np.tile(scores.numpy(), (1, 2)), maximize=True)
    assert sharp.tolist() == (column[np.argsort(row)] % K).tolist()


def test_a_row_counts_as_its_weight_says_and_what_would_overflow_does_not() -> None:
    scores = scores_of(B)
    twice = sinkhorn(torch.cat([scores, scores[:1]]), 0.1)[:B]
    weight = torch.tensor([2.0] + [1.0] * (B - 1))
    assert_close(sinkhorn(scores, 0.1, weight_B=weight), twice)
    others = sinkhorn(scores[1:], 0.1)
    weight = torch.tensor([0.0] + [1.0] * (B - 1))
    assert_close(sinkhorn(scores, 0.1, weight_B=weight)[1:], others)
    assert sinkhorn(scores, 0.1, weight_B=torch.zeros(B)).isfinite().all()
    for epsilon in (1e-3, 1e-5):
        assert_close(sinkhorn(scores.float(), epsilon).sum(dim=1), torch.ones(B))
    assert_close(sinkhorn(scores + 1000.0, 0.1), sinkhorn(scores, 0.1), rtol=1e-8, atol=1e-12)


# ---- the whole -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(16, 16), SIZES, (16, 16, 8, 12, 8)])
def test_the_loss_is_the_authors_over_all_pairs_of_different_crops(sizes: tuple[int, ...]) -> None:
    swav, batch = build(small()), batch_of(sizes)
    z = [[row.tolist() for row in crop.detach()] for crop in swav.embed(batch)]
    prototypes = [[float(x) for x in row / row.norm()] for row in swav.head.last.weight.detach()]
    scores = [[[sum(a * b for a, b in zip(row, c, strict=True)) for c in prototypes] for row in crop] for crop in z]
    losses = []
    for crop in range(2):
        codes = by_loops(scores[crop], 0.05)
        for other in range(len(sizes)):
            for row in range(B):
                powers = [math.exp(score / 0.1) for score in scores[other][row]]
                log_p = [math.log(power / sum(powers)) for power in powers]
                if other != crop:
                    losses.append(-sum(q * log for q, log in zip(codes[row], log_p, strict=True)))
    assert len(losses) == 2 * (len(sizes) - 1) * B
    assert_close(swav(batch).loss.item(), sum(losses) / len(losses), rtol=1e-9, atol=0.0)


def test_the_queue_is_assigned_along_with_the_batch_from_its_share_of_training() -> None:
    swav, batch = build(small(queue=2 * B, queue_from=0.5)), batch_of()
    plain_loss = build(small()).train()(batch).loss
    with torch.no_grad():
        z = swav.embed(batch)
        scores = [swav.head.cosines(crop) for crop in z]
        queued = [swav.head.cosines(queue.keys.clone()) for queue in swav.queues]  # type: ignore[union-attr,operator]
    codes = [torch.tensor(by_loops(torch.cat(both).tolist(), 0.05))[-B:] for both in zip(queued, scores, strict=False)]
    log_p = [(each / 0.1).log_softmax(dim=1) for each in scores]
    pairs = [(crop, other) for crop in range(2) for other in range(3) if other != crop]
    expected = sum(-(codes[crop] * log_p[other]).sum(dim=1).mean() for crop, other in pairs) / len(pairs)
    assert_close(swav(replace(batch, progress=0.5)).loss, expected, rtol=1e-6, atol=0.0, check_dtype=False)
    for queue, crop in zip(swav.queues, z, strict=False):
        assert_close(queue.keys[:B], crop)  # type: ignore[index]
    assert_close(swav(replace(batch, progress=0.499)).loss, plain_loss, rtol=1e-6, atol=0.0)


def test_prototypes_stay_unit_vectors_and_frozen_as_long_as_is_said(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    method = small(frozen=0.5, views=multi_crop(1, 12))
    run = small_run.with_field("method", method).with_field("optimizer", SGD(learning_rate=0.5, weight_decay=0.1))
    training = Training(run, small_data, processor)
    swav = training.method
    assert isinstance(swav, SwAV)
    start = swav.head.last.weight.detach().clone()
    assert_close(start.norm(dim=1), torch.ones(K))
    for step in training.steps():
        now = swav.head.last.weight.detach()
        assert_close(now.norm(dim=1), torch.ones(K))
        assert ((now - start).abs().max() < 1e-6) == (step <= 4)


def test_its_step_is_the_authors_to_first_order() -> None:
    """They normalise outside of the graph: their gradient has a part along the prototype, which normalising undoes."""
    swav, batch = build(small()), batch_of()
    swav(batch).loss.backward()
    ours, c, rate = swav.head.last.weight.grad, swav.head.last.weight.detach(), 1e-4
    assert ours is not None
    free = c.clone().requires_grad_()
    z = torch.stack(swav.embed(batch)).detach()
    scores = z @ free.T
    log_p = (scores / 0.1).log_softmax(dim=2)
    codes = torch.stack([sinkhorn(scores[crop].detach(), 0.05) for crop in range(2)])
    loss = -torch.stack([(codes[g] * log_p[v]).sum(dim=1).mean() for g in range(2) for v in range(3) if v != g]).mean()
    (theirs,) = torch.autograd.grad(loss, free)
    steps = [torch.nn.functional.normalize(c - rate * gradient, dim=1) - c for gradient in (ours, theirs)]
    assert_close(steps[0], steps[1], rtol=1e-3, atol=1e-7)
    assert not torch.allclose(ours, theirs, rtol=1e-3)


# ---- what is refused, and shown --------------------------------------------------------------------------------------


def test_what_does_not_fit_is_one_clear_line(small_run: RunConfig, small_data: Data) -> None:
    one = small_run.with_field("method", small(views=ViewPlan(views=(PLAIN,))))
    with pytest.raises(UserError, match=r"^swav needs 2 views or more, got 1; set method\.views to a plan"):
        check_fits(one, small_data)
    short = small_run.with_field("method", small(queue=small_run.batch_size - 1))
    with pytest.raises(UserError, match=r"^method\.queue \d+ is shorter than a batch; make it \d+ or more, or 0"):
        check_fits(short, small_data)
    with pytest.raises((UserError, ValidationError), match=r"epsilon: .*greater than 0"):
        small(epsilon=0.0)


def test_the_default_plan_is_the_papers() -> None:
    crops = [view.policy.ops[0] for view in multi_crop().views]
    assert crops == [Crop(area=(0.14, 1.0))] * 2 + [Crop(area=(0.05, 0.14), size=96)] * 6


@pytest.mark.parametrize("encoder", [ConvNetConfig(width=4), ViTConfig(width=4, depth=1)])
def test_pictures_show_where_their_prototype_is_seen(encoder: EncoderConfig) -> None:
    swav, batch = build(small(), encoder).eval(), batch_of((16, 16, 8))
    with torch.no_grad():
        shown = swav.figures(batch)["clusters"].columns
    assert list(shown) == ["picture", "where its prototype is seen"]
    assert shown["where its prototype is seen"].shape == (B, 3, 16, 16)
    assert shown["where its prototype is seen"].isfinite().all()
