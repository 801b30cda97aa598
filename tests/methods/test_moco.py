"""MoCo against its paper's pseudo-code, and its parts alone: momentum copy, queue, grouped and shuffled batch norm."""

import copy
import math
from collections import deque

import pytest
import torch
import torch.nn.functional as F
from formats import plain
from pydantic import ValidationError
from torch import Tensor, nn
from torch.testing import assert_close

from unlabeled.methods.contrastive.moco import MoCo, MoCoConfig
from unlabeled.methods.parts import KeyQueue, MomentumCopy, shuffled
from unlabeled.platform.augment import MOCO_V1, MOCO_V1_SMALL, two_views
from unlabeled.platform.collective.batch_norm import GroupedBatchNorm, group_batch_norms
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.optim import SGD
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import check_fits
from unlabeled.platform.train.loop import Training

B = 8


def small(**fields: object) -> MoCoConfig:
    settings = {"views": two_views(MOCO_V1_SMALL), "queue": 20, "head": (12, 6), "bn_groups": 2, **fields}
    return MoCoConfig.checked(**settings)


def build(config: MoCoConfig, *, settled: bool = True) -> MoCo:
    """Build MoCo in float64; settled, its key network is not the query network any more."""
    torch.manual_seed(0)
    moco = config.build(ConvNetConfig(width=4).build(plain(1, 16)), load(DataConfig(train_images=256))).double()
    moco.queue.keys = F.normalize(moco.queue.keys, dim=1)  # once more, to float64's precision
    if settled:
        with torch.no_grad():
            for parameter in moco.key_net.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return moco


def batch_of(seed: int = 0) -> Batch:
    views = torch.randn(2, B, 1, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows = torch.arange(B)
    return Batch(views=(views[0], views[1]), index=rows, draws=Draws(rows, 0, seed))


def swapped(batch: Batch) -> Batch:
    return Batch(views=batch.views[::-1], index=batch.index, draws=batch.draws)


# ---- the whole -----------------------------------------------------------------------------------------------------


def in_groups(net: nn.Module, x: Tensor, groups: int) -> Tensor:
    """Run each group of rows by itself, as a GPU of its own would."""
    return torch.cat([net(part) for part in x.chunk(groups)])


def pseudo_code(moco: MoCo, plain: MoCo, x_q: Tensor, x_k: Tensor, order: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Return the loss and the keys of algorithm 1, term by term; ``plain`` has the weights in ungrouped networks."""
    q = F.normalize(in_groups(nn.Sequential(plain.encoder, plain.head), x_q, groups), dim=1)
    with torch.no_grad():
        k = F.normalize(in_groups(plain.key_net.twin, x_k[order], groups), dim=1)[order.argsort()]
    losses = []
    for i in range(len(q)):
        l_pos = q[i] @ k[i]
        l_neg = torch.stack([q[i] @ key for key in moco.queue.keys.clone()])
        logits = torch.cat([l_pos[None], l_neg]) / moco.temperature
        losses.append(-(logits[0].exp() / logits.exp().sum()).log())
    return torch.stack(losses).mean(), k


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("groups", "shuffle"), [(1, False), (2, False), (2, True), (4, True)])
def test_loss_gradients_and_queue_are_the_pseudo_codes(groups: int, shuffle: bool, symmetric: bool) -> None:
    moco = build(small(bn_groups=groups, shuffle_bn=shuffle, symmetric=symmetric))
    plain = build(small(bn_groups=1, shuffle_bn=False))
    plain.load_state_dict(moco.state_dict())
    batch = batch_of()
    expected_losses, expected_keys = [], []
    view_1, view_2 = batch.views
    for x_q, x_k, side in [(view_1, view_2, 2), (view_2, view_1, 1)][: 1 + symmetric]:
        order = batch.draws.fold_in("key", side).uniform("shuffle").argsort() if shuffle else torch.arange(B)
        loss, keys = pseudo_code(moco, plain, x_q, x_k, order, groups)
        expected_losses.append(loss)
        expected_keys.append(keys)
    expected = torch.stack(expected_losses).mean()
    expected.backward()  # type: ignore[no-untyped-call]

    result = moco(batch)
    result.loss.backward()
    assert_close(result.loss, expected, rtol=1e-10, atol=1e-10)
    for name, parameter in plain.named_parameters():
        if parameter.requires_grad:
            assert_close(moco.get_parameter(name).grad, parameter.grad, rtol=1e-8, atol=1e-8)
    pushed = torch.cat(expected_keys)
    assert_close(moco.queue.keys[: len(pushed)], pushed, rtol=1e-10, atol=1e-10)
    assert_close(result.logs["contrast/mutual_information_bound"], math.log(1 + 20) - expected.detach())


def test_shuffling_changes_the_keys_only_through_the_groups() -> None:
    batch = batch_of()
    keys = {}
    for shuffle in (False, True):
        moco = build(small(shuffle_bn=shuffle))
        moco(batch)
        keys[shuffle] = moco.queue.keys[:B]
    assert not torch.allclose(keys[False], keys[True])


def test_the_symmetric_loss_is_the_mean_of_both_directions() -> None:
    config = small(shuffle_bn=False)
    batch = batch_of()
    both = build(config.with_field("symmetric", True))(batch).loss
    one, other = build(config)(batch).loss, build(config)(swapped(batch)).loss
    assert not torch.allclose(one, other)
    assert_close(both, (one + other) / 2, rtol=1e-12, atol=1e-12)


def test_a_steps_own_keys_are_not_among_its_negatives() -> None:
    config = small(symmetric=True, shuffle_bn=False)
    batch = batch_of()
    moco = build(config)
    first = moco(batch)
    again = moco(batch)  # now the queue holds every positive
    assert again.loss > first.loss
    assert first.loss < math.log(2) - 0.1
    assert again.loss > math.log(2) - 1e-9, "the positive ties with its own copy in the queue, and is as likely"


def test_without_momentum_the_key_network_is_the_query_network(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    for momentum in (0.0, 0.5):
        run = small_run.with_field("method", small(queue=100, momentum=momentum))
        training = Training(run, small_data, processor)
        next(training.steps())
        moco = training.method
        assert isinstance(moco, MoCo)
        query = nn.Sequential(moco.encoder, moco.head)
        pairs = zip(query.parameters(), moco.key_net.parameters(), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in pairs) == (momentum == 0.0)


def test_the_optimiser_moves_the_query_network_alone() -> None:
    moco = build(small())
    optimised = {p for group in SGD().build(moco).param_groups for p in group["params"]}
    assert optimised == {*moco.encoder.parameters(), *moco.head.parameters()}


def test_version_1() -> None:
    config = MoCoConfig.v1()
    assert (config.views, config.temperature, config.head) == (two_views(MOCO_V1), 0.07, (128,))
    assert (config.momentum, config.queue, config.symmetric) == (0.999, 65_536, False)
    assert [type(layer) for layer in build(small(head=(6,))).head.children()] == [nn.Linear]
    assert [type(layer) for layer in build(small()).head.children()] == [nn.Linear, nn.ReLU, nn.Linear]


def test_without_a_head_the_keys_are_features() -> None:
    moco = build(small(head=()))
    assert moco.queue.keys.shape == (20, 32)
    assert moco(batch_of()).loss.isfinite()


@pytest.mark.parametrize(
    ("fields", "workers", "message"),
    [
        (
            {"queue": 63},
            1,
            r"method\.queue 63 is shorter than the 64 keys of one step; make it 64 or more, or batch_size",
        ),
        ({"queue": 127, "symmetric": True}, 1, r"method\.queue 127 is shorter than the 128 keys of one step"),
        ({"bn_groups": 6}, 1, r"method\.bn_groups 6 does not cut batch_size 64 into equal groups.*; 4 would"),
        ({"bn_groups": 64}, 1, r"method\.bn_groups 64 does not cut .* into equal groups of 2 images or more; 32 would"),
        ({"bn_groups": 8}, 16, r"method\.bn_groups 8 does not divide by 16 workers; use a number .* that divides 8"),
        ({"bn_groups": 1}, 1, r"method\.shuffle_bn does nothing with method\.bn_groups 1; make it false, or bn_groups"),
    ],
)
def test_what_cannot_train_is_refused_before_it_starts(
    small_run: RunConfig, small_data: Data, fields: dict[str, object], workers: int, message: str
) -> None:
    run = small_run.with_field("method", small(**{"queue": 128, **fields}))
    with pytest.raises(UserError, match=message):
        check_fits(run, small_data, workers)


@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_a_momentum_outside_0_to_1_is_refused(momentum: float) -> None:
    with pytest.raises(UserError, match=r"momentum: Input should be (greater|less) than or equal to [01], got -?[01]"):
        small(momentum=momentum)
    with pytest.raises(ValidationError):
        MoCoConfig(momentum=momentum)


# ---- the momentum copy ---------------------------------------------------------------------------------------------


def net_with_norm() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.999, 1.0])
def test_the_copy_starts_equal_and_moves_by_the_rule(momentum: float) -> None:
    source = net_with_norm()
    twin = MomentumCopy(source, momentum)
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), twin.parameters(), strict=True))
    assert not any(parameter.requires_grad for parameter in twin.parameters())
    assert all(parameter.requires_grad for parameter in source.parameters())
    before = [parameter.clone() for parameter in twin.parameters()]
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1.0)
    twin.follow()
    for old, new, theirs in zip(before, twin.parameters(), source.parameters(), strict=True):
        assert_close(new, momentum * old + (1 - momentum) * theirs, rtol=1e-14, atol=1e-14)
        assert momentum > 0.0 or torch.equal(new, theirs)
        assert momentum < 1.0 or torch.equal(new, old)


def test_the_copy_normalises_by_its_own_batch_and_keeps_its_own_statistics() -> None:
    source = net_with_norm()
    twin = MomentumCopy(source, 0.9)
    x = torch.randn(16, 3, dtype=torch.float64)
    y = twin(x)
    assert not y.requires_grad
    assert_close(y.mean(dim=0), torch.zeros(4, dtype=torch.float64))
    statistics = twin.twin[1].running_mean.clone()  # type: ignore[index]
    source(5.0 + x)
    twin.follow()
    assert torch.equal(twin.twin[1].running_mean, statistics)  # type: ignore[index]


# ---- the queue -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[3, 3, 3, 3, 3], [7, 7], [1, 6, 7, 2], [4, 4]])
def test_the_queue_is_first_in_first_out_at_any_length(sizes: list[int]) -> None:
    queue = KeyQueue(7, 5)
    expected = deque(queue.keys.clone().unbind(), maxlen=7)
    for step, size in enumerate(sizes):
        keys = torch.randn(size, 5, generator=torch.Generator().manual_seed(step))
        queue.push(keys)
        expected.extend(F.normalize(keys, dim=1))
        assert 0 <= int(queue.oldest) < 7
        assert torch.equal(queue.keys.roll(-int(queue.oldest), dims=0), torch.stack([*expected]))


def test_the_queue_starts_with_random_unit_keys_and_keeps_float32() -> None:
    queue = KeyQueue(50, 5)
    assert_close(queue.keys.norm(dim=1), torch.ones(50))
    assert len({tuple(key.tolist()) for key in queue.keys}) == 50
    queue.push(100.0 * torch.randn(3, 5).bfloat16())
    assert queue.keys.dtype == torch.float32
    assert_close(queue.keys.norm(dim=1), torch.ones(50))


# ---- batch norm in groups ------------------------------------------------------------------------------------------


def twin_of(layer: nn.BatchNorm1d | nn.BatchNorm2d, groups: int) -> nn.Module:
    net = nn.Sequential(copy.deepcopy(layer))
    group_batch_norms(net, groups)
    return net[0]


def norm_and_input(dims: int) -> tuple[nn.BatchNorm1d | nn.BatchNorm2d, Tensor]:
    torch.manual_seed(1)
    layer = nn.BatchNorm2d(3) if dims == 4 else nn.BatchNorm1d(3)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return layer.double(), torch.randn(12, 3, *[5] * (dims - 2), dtype=torch.float64) * 2 + 1


@pytest.mark.parametrize("dims", [2, 4])
@pytest.mark.parametrize("groups", [2, 3, 6])
def test_groups_are_normalised_as_by_separate_batch_norms(dims: int, groups: int) -> None:
    layer, x = norm_and_input(dims)
    grouped, apart = twin_of(layer, groups), [copy.deepcopy(layer) for _ in range(groups)]
    inputs = x.clone().requires_grad_(), x.clone().requires_grad_()
    coefficient = torch.randn_like(x)
    for _ in range(2):
        ours = grouped(inputs[0])
        theirs = torch.cat([norm(part) for norm, part in zip(apart, inputs[1].chunk(groups), strict=True)])
        assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    (ours * coefficient).sum().backward()
    (theirs * coefficient).sum().backward()  # type: ignore[no-untyped-call]
    assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-10, atol=1e-12)
    for name in ("weight", "bias"):
        total = torch.stack([norm.get_parameter(name).grad for norm in apart]).sum(dim=0)  # type: ignore[misc]
        assert_close(grouped.get_parameter(name).grad, total, rtol=1e-12, atol=1e-12)
    for name in ("running_mean", "running_var"):
        mean = torch.stack([norm.get_buffer(name) for norm in apart]).mean(dim=0)
        assert_close(grouped.get_buffer(name), mean, rtol=1e-12, atol=1e-12)
    assert int(grouped.get_buffer("num_batches_tracked")) == 2


def test_in_evaluation_groups_make_no_difference() -> None:
    layer, x = norm_and_input(4)
    layer(x)
    grouped = twin_of(layer, 3)
    assert torch.equal(grouped.eval()(x), layer.eval()(x))


def test_grouping_keeps_weights_names_and_shared_layers() -> None:
    shared = nn.BatchNorm1d(4)
    net = nn.Sequential(nn.Linear(4, 4), shared, nn.Sequential(nn.BatchNorm2d(3, affine=False)), shared)
    names, parameters = list(net.state_dict()), list(net.parameters())
    group_batch_norms(net, 1)
    assert net[1] is shared, "one group is plain batch norm"
    group_batch_norms(net, 2)
    assert isinstance(net[1], GroupedBatchNorm)
    assert net[1] is net[3]
    assert list(net.state_dict()) == names
    assert all(ours is theirs for ours, theirs in zip(net.parameters(), parameters, strict=True))


def test_a_batch_norm_that_does_more_cannot_be_grouped() -> None:
    class BatchNormAct(nn.BatchNorm2d):
        pass

    for layer in (BatchNormAct(3), nn.BatchNorm2d(3, momentum=None)):
        with pytest.raises(
            UserError, match=r"only plain BatchNorm1d, 2d and 3d .*; 0\.0 is BatchNorm.*: choose another"
        ):
            group_batch_norms(nn.Sequential(nn.Sequential(layer)), 2)


def test_shuffling_returns_every_row_to_its_place() -> None:
    seen = []

    class Spy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return 2 * x

    x = torch.arange(12.0)[:, None]
    draws = [Draws(torch.arange(12), 0, step) for step in (0, 0, 1)]
    for draw in draws:
        own, everyones = shuffled(Spy(), x, draw)
        assert torch.equal(own, 2 * x)
        assert torch.equal(everyones, 2 * x)
    assert torch.equal(seen[0].sort(dim=0).values, x)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], x)
    shuffled(Spy(), x, None)
    assert torch.equal(seen[3], x)
