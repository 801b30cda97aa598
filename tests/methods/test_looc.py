"""LooC: which draws its views share, and its loss against a loop over rows, spaces and keys."""

import pytest
import torch
import torch.nn.functional as F
from formats import plain
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.contrastive.looc import COLOR, ROTATION, LooC, LooCConfig
from unlabeled.platform.augment import PLAIN, ColorJitter, Policy, ViewPlan
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

B, D, TAU = 6, 5, 0.2
DRAWS = Draws(torch.arange(B), 0, 1, "method")


def build(data: Data, **fields: object) -> LooC:
    torch.manual_seed(0)
    config = LooCConfig.checked(**{"temperature": TAU, "queue": 20, "head": (7, D), "bn_groups": 1, **fields})
    method = config.build(ConvNetConfig(width=4).build(plain(3, 16)), data).double()
    for queue in method.queues:
        queue.keys = F.normalize(queue.keys, dim=1)  # type: ignore[arg-type]
    with torch.no_grad():  # a key network that has gone its own way
        for parameter in method.key_net.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return method


def batch_of(views: int) -> Batch:
    """Return a batch of random pictures with one bright corner, all views alike before the method's augmentations."""
    view = 0.5 * torch.rand(B, 3, 16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    view[:, :, :4, :4] = 0.6
    return Batch(views=(view,) * views, index=torch.arange(B), draws=DRAWS)


# ---- views -----------------------------------------------------------------------------------------------------------


BRIGHTNESS = Policy(ops=(ColorJitter(brightness=0.4, contrast=0.0, saturation=0.0, hue=0.0, p=1.0),))


def brightness(view: Tensor) -> list[float]:
    return [round(value, 4) for value in view.mean(dim=(1, 2, 3)).tolist()]


def corner(view: Tensor) -> list[int]:
    corners = [view[:, 0, rows, columns].mean(dim=(1, 2)) for rows in ENDS for columns in ENDS]
    found: list[int] = torch.stack(corners).argmax(dim=0).tolist()
    return found


ENDS = (slice(0, 4), slice(12, 16))


def test_a_key_shares_one_augmentation_with_the_query_and_draws_the_others_anew(small_data: Data) -> None:
    query, *keys = build(small_data, augmentations=(BRIGHTNESS, ROTATION)).augmented(batch_of(4))
    assert len(set(brightness(query))) == B
    assert len(set(corner(query))) > 1
    shares = [(brightness(key) == brightness(query), corner(key) == corner(query)) for key in keys]
    assert shares == [(False, False), (True, False), (False, True)]
    assert len({tuple(brightness(key)) for key in (keys[0], keys[2])}) == 2, "each is drawn for itself"
    assert len({tuple(corner(key)) for key in keys[:2]}) == 2


def test_the_only_augmentation_is_wholly_shared(small_data: Data) -> None:
    query, other, same = build(small_data, augmentations=(COLOR,)).augmented(batch_of(3))
    assert torch.equal(query, same)
    assert not torch.equal(query, other)


# ---- the loss --------------------------------------------------------------------------------------------------------


def test_each_space_takes_its_key_for_right_and_the_others_for_wrong(small_data: Data) -> None:
    method, batch = build(small_data), batch_of(4)
    query, *keys = method.augmented(batch)
    z_q = [F.normalize(head(method.encoder(query)), dim=1) for head in method.heads]
    trunk, heads = method.key_net.twin  # type: ignore[misc]
    z_k = [[F.normalize(head(trunk(key)), dim=1).detach() for head in heads] for key in keys]  # key, then space
    queues = [queue.keys.clone() for queue in method.queues]  # type: ignore[operator,union-attr]
    spaces, losses = range(3), []
    for space in spaces:
        for row in range(B):
            right = (z_q[space][row] @ z_k[space][space][row] / TAU).exp()
            wrong = [z_k[place][space][row] for place in spaces if place != space] if space else []
            others = sum((z_q[space][row] @ key / TAU).exp() for key in [*wrong, *queues[space]])
            losses.append(-(right / (right + others)).log())
    expected, weights = torch.stack(losses).mean(), [p for p in method.parameters() if p.requires_grad]
    result = method(batch)
    assert_close(result.loss, expected)
    gradients = (torch.autograd.grad(loss, weights) for loss in (result.loss, expected))
    for found, wanted in zip(*gradients, strict=True):
        assert_close(found, wanted)
    for space, queue in enumerate(method.queues):
        assert_close(queue.keys[:B], z_k[space][space], msg="the queue of a space gets its own key")  # type: ignore[index]
        assert_close(queue.keys[B:], queues[space][B:])  # type: ignore[index]


def test_all_spaces_side_by_side_are_a_layer(small_data: Data) -> None:
    method, view = build(small_data).eval(), batch_of(1).views[0]
    made = method.layers()["spaces"](view)
    assert_close(made, torch.cat([F.normalize(head(method.encoder(view)), dim=1) for head in method.heads], dim=1))


# ---- mistakes --------------------------------------------------------------------------------------------------------


def test_views_that_do_not_go_with_the_augmentations_are_one_clear_line(small_data: Data) -> None:
    config = LooCConfig(views=ViewPlan(views=(PLAIN,) * 3))
    with pytest.raises(
        UserError, match=r"^looc takes 4 views of an image for 2 augmentations: .*; its plan has 3; set"
    ):
        config.check(64, 1, small_data)
    with pytest.raises(
        UserError, match=r"^method.queue 20 is shorter than the 64 keys of one step; make it 64 or more"
    ):
        LooCConfig(queue=20).check(64, 1, small_data)
