"""The gradient of a batch that was cut equals the gradient of the whole."""

import logging

import pytest
import torch
from torch import Tensor, nn

from unlabeled.platform.augment import Policy, ViewPlan
from unlabeled.platform.collective.batch_norm import GroupedBatchNorm, group_batch_norms, has_batch_norm
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder, TimmConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Method, MethodConfig, StepResult
from unlabeled.platform.processor import Processor
from unlabeled.platform.testing.examples import Exact
from unlabeled.platform.train.built import check_fits
from unlabeled.platform.train.loop import Training


class DistanceConfig(MethodConfig):
    """A per-sample loss with draws of its own; or, where ``whole`` says so, one that can't be cut."""

    name = "test-distance"
    views: ViewPlan = ViewPlan(views=(Policy(),))
    whole: bool = False

    def build(self, encoder: Encoder, data: Data) -> "Distance":
        return Distance(self.whole, encoder)


class Distance(Method):
    cut = "per-sample"

    def __init__(self, whole: bool, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.head = nn.Linear(encoder.dim, 4)
        if whole:
            self.cut = "whole"  # type: ignore[misc]

    def forward(self, batch: Batch) -> StepResult:
        target = batch.draws.uniform("target", 4)
        loss = (self.head(self.encoder(batch.views[0])) - target).square().sum(dim=1).mean()
        return StepResult(loss=loss, logs={"distance/mean": loss.detach()})


@pytest.fixture(scope="module")
def smooth_run(small_run: RunConfig) -> RunConfig:
    """A run without batch norm: a ViT, and a linear head."""
    vit = TimmConfig(model="vit_tiny_patch16_224", patch_px=14)
    return small_run.with_field("encoder", vit).with_field("method.head", (16,)).with_field("batch_size", 48)


def gradients_after_one_step(
    run: RunConfig, data: Data, micro_batch: int | None
) -> tuple[list[Tensor], dict[str, float]]:
    """In float64: a processor adds float32 in an order of its own, which some gradients show more than others."""
    training = Training(run.with_field("micro_batch", micro_batch), data, Exact())
    training.method.double()
    next(training.steps())
    gradients = [p.grad for p in training.method.parameters() if p.grad is not None]
    return gradients, training.end_epoch()


@pytest.mark.parametrize("micro_batch", [1, 16, 48])
@pytest.mark.parametrize("method", ["simclr", "test-distance"])
def test_the_gradient_is_the_wholes(smooth_run: RunConfig, small_data: Data, micro_batch: int, method: str) -> None:
    run = smooth_run if method == "simclr" else smooth_run.with_field("method", DistanceConfig())
    whole, whole_logs = gradients_after_one_step(run, small_data, None)
    cut, cut_logs = gradients_after_one_step(run, small_data, micro_batch)
    assert len(whole) == len(cut) > 10
    for one, other in zip(whole, cut, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-8, atol=1e-12)
    for name in set(whole_logs) - {"train/images_per_second", "train/seconds"}:
        assert cut_logs[name] == pytest.approx(whole_logs[name], rel=1e-10, abs=1e-10)


def test_the_method_under_test_has_no_batch_norm(
    smooth_run: RunConfig, small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    assert not has_batch_norm(Training(smooth_run, small_data, processor).method)
    assert has_batch_norm(Training(small_run, small_data, processor).method)


def test_batch_norm_is_warned_of_and_its_statistics_move_once_per_micro_batch(
    small_run: RunConfig, small_data: Data, processor: Processor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        training = Training(small_run.with_field("micro_batch", 16), small_data, processor)
    assert "batch norm sees micro-batches of 16, not the batch of 64" in caplog.text
    next(training.steps())
    norms = [layer for layer in training.method.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms
    assert all(int(layer.num_batches_tracked or 0) == 4 for layer in norms), "not twice, though embedded twice"
    assert all(layer.track_running_stats for layer in norms)


def test_batch_norm_by_groups_is_batch_norm_and_its_statistics_move_once_per_micro_batch(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    training = Training(small_run.with_field("micro_batch", 16), small_data, processor)
    group_batch_norms(training.method, 2)
    assert has_batch_norm(training.method)
    next(training.steps())
    norms = [layer for layer in training.method.modules() if isinstance(layer, GroupedBatchNorm)]
    assert norms
    assert all(int(layer.num_batches_tracked) == 4 for layer in norms), "not twice, though embedded twice"
    assert all(layer.track_running_stats for layer in norms)


def test_a_method_that_needs_its_batch_whole_says_so(
    smooth_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    run = smooth_run.with_field("method", DistanceConfig(whole=True))
    with pytest.raises(
        UserError, match="test-distance needs its batch whole, so micro_batch can't cut it; leave it out"
    ):
        Training(run.with_field("micro_batch", 16), small_data, processor)


@pytest.mark.parametrize(
    ("micro_batch", "workers", "remedy"), [(20, 1, "16 or 24"), (1000, 1, "48"), (3, 2, "2 or 4"), (12, 8, "8 or 16")]
)
def test_micro_batches_are_equal_parts_for_every_worker(
    smooth_run: RunConfig, small_data: Data, micro_batch: int, workers: int, remedy: str
) -> None:
    with pytest.raises(UserError, match=f"micro_batch {micro_batch} does not cut batch_size 48 .*; use {remedy}$"):
        check_fits(smooth_run.with_field("micro_batch", micro_batch), small_data, workers)
