import copy
import io

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.methods.supervised.classifier import SupervisedConfig
from unlabeled.platform.augment import Policy, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Method, MethodConfig, StepResult
from unlabeled.platform.optim import SGD, Group
from unlabeled.platform.processor import Processor
from unlabeled.platform.train import loop
from unlabeled.platform.train import meter as meter_module
from unlabeled.platform.train.batches import Batches
from unlabeled.platform.train.built import build_method, check_built
from unlabeled.platform.train.checkpoint import State
from unlabeled.platform.train.loop import NonFiniteLossError, Training
from unlabeled.platform.train.meter import EpochMeter


class DroppingConfig(MethodConfig):
    """A method whose draws decide its targets, and what is dropped."""

    name = "test-dropping"
    views: ViewPlan = ViewPlan(views=(Policy(),))
    explode_at: int = Field(default=10**9)

    def build(self, encoder: Encoder, data: Data) -> "Dropping":
        return Dropping(self, encoder)


class Dropping(Method):
    def __init__(self, config: DroppingConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.head = nn.Linear(encoder.dim, 4)
        self.explode_at = config.explode_at
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.progress: list[float] = []

    def forward(self, batch: Batch) -> StepResult:
        assert isinstance(self.calls, Tensor)
        self.calls += 1
        target = batch.draws.integers("target", 4)
        features = self.encoder(batch.views[0])
        kept = batch.draws.uniform("dropout", features.shape[1]) < 0.5
        loss = nn.functional.cross_entropy(self.head(2.0 * kept * features), target)
        return StepResult(loss=loss * torch.inf if int(self.calls) == self.explode_at else loss)

    def after_step(self, progress: float) -> None:
        self.progress.append(progress)


def same(one: object, other: object) -> bool:
    """Whether two states are bitwise equal."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(same(one[k], other[k]) for k in one if k != "seconds")
        )
    if isinstance(one, list | tuple):
        return isinstance(other, list | tuple) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other


def finish(training: Training, save_at: int = 0) -> tuple[list[dict[str, float]], State | None]:
    """Train to the end; return the epochs' means, and the state after ``save_at`` steps as it would come from disk."""
    saved = None
    epochs = [training.end_epoch()] if training.meter.steps == training.steps_per_epoch else []
    for step in training.steps():
        if step == save_at:
            buffer = io.BytesIO()
            torch.save(training.state(), buffer)
            saved = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
        if step % training.steps_per_epoch == 0:
            epochs.append(training.end_epoch())
    return epochs, saved


@pytest.mark.parametrize("method", ["simclr", "test-dropping"])
@pytest.mark.parametrize("stop", [1, 3, 4, 5, 8])  # within an epoch of four steps, at its end, at the run's end
def test_resumed_equals_uninterrupted_bitwise(
    small_run: RunConfig, small_data: Data, processor: Processor, stop: int, method: str
) -> None:
    run = small_run if method == "simclr" else small_run.with_field("method", DroppingConfig())
    whole, resumed = Training(run, small_data, processor), Training(run, small_data, processor)
    whole_epochs, saved = finish(whole, save_at=stop)
    assert saved is not None
    torch.rand(7)  # what else used torch's generator must not matter
    resumed.restore(saved)
    resumed_epochs, _ = finish(resumed)
    assert resumed.step == whole.step == 8
    assert same(whole.state(), resumed.state())
    for ours, theirs in zip(reversed(resumed_epochs), reversed(whole_epochs), strict=False):
        assert ours["train/loss"] == theirs["train/loss"]


def test_losses_within_epochs_are_means_of_the_steps_between(
    small_run: RunConfig, small_data: Data, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losses(every: int, most: int = 1000, stop: int = 0) -> dict[int, float]:
        monkeypatch.setattr(loop, "CHECK_EVERY", every)
        monkeypatch.setattr(loop, "MOST_LOSSES", most)
        training = Training(small_run, small_data, processor)
        _, saved = finish(training, save_at=stop)
        if saved is not None:
            training.take_losses()
            training.restore(saved)
            finish(training)
        return training.take_losses()

    each = losses(1)
    assert list(each) == [1, 2, 3, 4, 5, 6, 7, 8]
    pairs = {step: pytest.approx((each[step - 1] + each[step]) / 2, rel=1e-9) for step in (2, 4, 6, 8)}
    assert losses(2) == pairs
    assert losses(1, most=4) == pairs, "of a long run as many"
    thirds = {3: sum(each[step] for step in (1, 2, 3)) / 3, 4: each[4]}
    thirds |= {6: (each[5] + each[6]) / 2, 8: (each[7] + each[8]) / 2}
    assert losses(3) == pytest.approx(thirds, rel=1e-9), "an epoch's last ones, too"
    assert losses(3, stop=5) == losses(3)
    assert losses(4) == losses(20) == {}, "those are the epochs' means"


def test_the_seed_decides_everything(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    def trained(seed: int) -> dict[str, Tensor]:
        training = Training(small_run.with_field("seed", seed), small_data, processor)
        for _ in training.steps():
            pass
        return training.method.state_dict()

    first, again, other = trained(0), trained(0), trained(1)
    assert same(first, again)
    assert not same(first, other)


def test_methods_of_one_seed_start_from_one_encoder(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    state = torch.get_rng_state()
    one = build_method(small_run, small_data, processor)
    other = build_method(small_run.with_field("method.head", ()), small_data, processor)
    assert same(one.encoder.state_dict(), other.encoder.state_dict())
    assert torch.equal(torch.get_rng_state(), state), "building must leave torch's generator alone"


def test_an_epoch_sees_every_picture_once_in_a_new_order(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    training = Training(small_run, small_data, processor)
    epochs = [torch.cat([training.batch(4 * epoch + step).index for step in range(4)]) for epoch in range(2)]
    for order in epochs:
        assert torch.equal(order.sort().values, torch.arange(256))
    assert not torch.equal(*epochs)


def test_views_are_pixels_and_differ(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    batch = Training(small_run, small_data, processor).batch(0)
    assert len(batch.views) == 2
    assert batch.views[0].shape == (64, 1, 28, 28)
    assert not torch.allclose(*batch.views)
    plain = small_run.with_field("method", DroppingConfig())
    view = Training(plain, small_data, processor).batch(0).views[0]
    images = small_data.pretrain.read(batch.index, "image").float() / 255.0
    assert torch.equal(view, images)
    assert all(view.min() >= 0.0 and view.max() <= 1.0 for view in batch.views)


def test_after_step_hears_of_the_progress(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    training = Training(small_run.with_field("method", DroppingConfig()), small_data, processor)
    for _ in training.steps():
        pass
    assert isinstance(training.method, Dropping)
    assert training.method.progress == [step / 8 for step in range(1, 9)]


def test_a_sampled_value_reaches_the_built_module(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    method = build_method(small_run.with_field("method.temperature", 0.37), small_data, processor)
    assert method.temperature == 0.37


def test_gradients_are_clipped_and_their_norm_is_logged(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    run = small_run.with_field("optimizer", SGD(learning_rate=1.0, clip_norm=0.01, momentum=0.0, weight_decay=0.0))
    training = Training(run, small_data, processor)
    before = [p.detach().clone() for p in training.method.parameters()]
    next(training.steps())
    moved = torch.stack([(p - q).norm() for p, q in zip(training.method.parameters(), before, strict=True)]).norm()
    assert moved.item() == pytest.approx(0.01, rel=1e-3)
    assert training.end_epoch()["train/gradient_norm"] > 0.01


def test_a_loss_that_is_not_finite_ends_the_run(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    training = Training(small_run.with_field("method", DroppingConfig(explode_at=2)), small_data, processor)
    with pytest.raises(
        NonFiniteLossError, match=r"the loss became (inf|nan) by step 4 of 8; try a smaller learning rate"
    ):
        list(training.steps())


def test_weights_that_the_last_step_broke_end_the_run(
    small_run: RunConfig, small_data: Data, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(small_run, small_data, processor)
    steps = training.steps()
    for _ in range(3):
        next(steps)
    weights = next(iter(training.method.parameters()))
    monkeypatch.setattr(training.optimizer, "step", lambda: weights.data.fill_(float("inf")))
    with pytest.raises(NonFiniteLossError, match="weights became NaN or infinite by step 4 of 8, though the loss was"):
        next(steps)


def test_a_batch_larger_than_the_data_is_refused(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    with pytest.raises(
        UserError, match="batch_size 300 is larger than the 256 items to train on of fashion-mnist-12k; use at most 256"
    ):
        Training(small_run.with_field("batch_size", 300), small_data, processor)


def test_a_batch_is_on_the_device_whole(small_run: RunConfig, small_data: Data) -> None:
    run = small_run.with_field("method", SupervisedConfig())
    batch = Batches(run, small_data, Processor(torch.device("meta"), "fp32"))(0, with_views=False)
    assert batch.index.device.type == batch.draws.rows.device.type == "meta"
    assert batch.targets["class"].device.type == "meta"
    assert batch.targets["class"].dtype == torch.int64


def test_a_methods_groups_train_at_rates_of_their_own_and_come_back_from_a_checkpoint(
    small_run: RunConfig, small_data: Data, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SimCLR, "groups", lambda self: [Group(self.head.parameters(), rate=3.0, decay=False)])
    whole, resumed = (Training(small_run, small_data, processor) for _ in range(2))
    rates = []
    for step in whole.steps():
        if step == 3:
            resumed.restore(copy.deepcopy(whole.state()))
        rates.append([group["lr"] for group in whole.optimizer.param_groups])
    for usual, spared, fast in rates:
        assert usual == spared > 0.0
        assert fast == 3.0 * usual
    head = {id(parameter) for parameter in whole.method.head.parameters()}
    assert {id(parameter) for parameter in whole.optimizer.param_groups[2]["params"]} == head
    assert whole.optimizer.param_groups[2]["weight_decay"] == 0.0
    for _ in resumed.steps():
        pass
    ours, theirs = whole.method.state_dict(), resumed.method.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_groups_that_overlap_are_refused_before_anything_is_trained(
    small_run: RunConfig, small_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = lambda self: [Group(self.head.parameters()), Group(self.head.parameters(), rate=2.0)]  # noqa: E731
    monkeypatch.setattr(SimCLR, "groups", twice)
    with pytest.raises(UserError, match=r"^head\.0\.weight is in two of its method's groups; leave it in one$"):
        check_built(small_run, small_data)


def test_a_checkpoint_of_one_worker_speaks_for_all_of_what_their_steps_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each logs of its own rows; after a restart all go on from the first one's sums."""
    meters = [EpochMeter() for _ in range(2)]

    def step(values: tuple[float, float]) -> None:
        for meter, value in zip(meters, values, strict=True):
            meter.add({"train/loss": torch.tensor(value)})

    step((1.0, 3.0))
    step((2.0, 6.0))
    mean = torch.stack([meter.sums["train/loss"] for meter in meters]).mean()
    monkeypatch.setattr(meter_module.collective, "mean_over_workers", lambda _: mean[None])
    for meter in meters:
        meter.agree()
    saved = vars(meters[0]).copy()
    meters[:] = [EpochMeter(**saved) for _ in range(2)]
    step((0.0, 3.0))
    assert sum(float(meter.sums["train/loss"]) for meter in meters) / 2 == pytest.approx((12.0 + 3.0) / 2)
