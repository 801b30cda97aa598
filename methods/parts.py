"""Parts that several methods need: views, classification, heads, a decoder, momentum copies, queues, squares.

Shapes: B rows on each worker, N rows of the global batch, C channels, D width, K keys in a queue.
"""

import contextlib
import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.methods.losses.numerics import exact_unit, in_full_precision, unit
from unlabeled.platform.augment import ColorDrop, ColorJitter, Crop, Flip, GaussianBlur, Policy, Solarize, ViewPlan
from unlabeled.platform.collective import gather, mean_over_workers, row_ids
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate.features import in_eval_mode

_cross_entropy = in_full_precision(F.cross_entropy)
SMALL = Policy(ops=(Crop(area=(0.3, 1.0)), Flip()))  # what examples see of small pictures
SMALL_JITTER = Policy(ops=(*SMALL.ops, ColorJitter.of_strength(0.5)))


def one_view(policy: Policy) -> ViewPlan:
    """Plan one view by a policy."""
    return ViewPlan(views=(policy,))


def multi_crop(num_local: int = 8, local_px: int = 96, area: float = 0.4) -> ViewPlan:
    """Plan two global crops, of more than ``area`` of the picture, and local ones of less; colours are BYOL's."""
    jitter = ColorJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
    color = (Flip(), jitter, ColorDrop(p=0.2))
    large = Policy(ops=(Crop(area=(area, 1.0)), *color))
    small = Policy(ops=(Crop(area=(0.05, area), size=local_px), *color, GaussianBlur(p=0.5)))
    two = (large.plus(GaussianBlur(p=1.0)), large.plus(GaussianBlur(p=0.1), Solarize(p=0.2)))
    return ViewPlan(views=two + (small,) * num_local)


def classify(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy, computed in full precision, and how often the largest logit is right, detached.

    Args:
        logits: [B, classes] or [B, classes, ...].
        labels: int64 [B] or [B, ...].
    """
    return _cross_entropy(logits, labels), logits.detach().argmax(dim=1).eq(labels).float().mean()


def projection_head(
    in_features: int,
    widths: tuple[int, ...],
    *,
    batch_norm: bool = True,
    last_batch_norm: bool = False,
    last_scale: bool = True,
    last_bias: bool = True,
) -> nn.Module:
    """Make a head on [B, in_features]: linear, batch norm and ReLU for each width but the last, which stays linear.

    No width is no head (the identity), one is a linear head, two are SimCLR's non-linear head (sec. 4.2); without batch
    norm they are MoCo v2's. With ``last_batch_norm`` the last layer, too, has batch norm, and neither has a bias (that
    of batch norm stays 0): the head of SimCLR's code (google-research/simclr, ``tf2/model.py``), linear or not; without
    ``last_scale`` that batch norm has no scale, either, as in SimSiam's and MoCo v3's. Without ``last_bias`` the last
    layer has none: where what follows takes means away, it would have no gradient.

    >>> projection_head(512, ())
    Identity()
    >>> len(projection_head(512, (2048, 128))), len(projection_head(512, (2048, 128), batch_norm=False))
    (4, 3)
    >>> [type(layer).__name__ for layer in projection_head(512, (128,), last_batch_norm=True)]
    ['Linear', 'BatchNorm1d']
    """
    if not widths:
        return nn.Identity()
    dims = (in_features, *widths)
    layers = hidden_layers(in_features, widths[:-1], batch_norm=batch_norm)
    layers.append(nn.Linear(dims[-2], dims[-1], bias=last_bias and not last_batch_norm))
    if last_batch_norm:
        layers.append(nn.BatchNorm1d(dims[-1], affine=last_scale))
        if last_scale:
            layers[-1].bias.requires_grad_(False)
    return nn.Sequential(*layers)


def hidden_layers(in_features: int, widths: tuple[int, ...], *, batch_norm: bool = True) -> list[nn.Module]:
    """Make what precedes a head's last layer: linear, batch norm (unless false) and ReLU for each width."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((in_features, *widths)):
        layers.append(nn.Linear(before, after, bias=not batch_norm))  # batch norm has a bias of its own
        layers += [nn.BatchNorm1d(after)] if batch_norm else []
        layers.append(nn.ReLU(inplace=True))
    return layers


def decoder(code: int, channels: int, px: int, width: int) -> nn.Module:
    """Make the way from codes [B, code] to [B, channels, side, side]: side is px, or the next that doubling comes to.

    A linear layer to a grid of 4 to 7 px, and transposed convolutions that double its side and halve its channels.
    """
    doublings = max(0, (px // 4).bit_length() - 1)
    start = -(-px // 2**doublings)
    layers: list[nn.Module] = [nn.Linear(code, width * start**2, bias=False), nn.Unflatten(1, (width, start, start))]
    layers += [nn.BatchNorm2d(width), nn.ReLU()]
    for _ in range(doublings):
        layers.append(nn.ConvTranspose2d(width, max(width // 2, 8), 4, stride=2, padding=1, bias=False))
        width = max(width // 2, 8)
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))


@in_full_precision
def cosine(x_BD: Tensor, y_BD: Tensor) -> Tensor:
    """Return the mean cosine of rows that belong together."""
    return (unit(x_BD) * unit(y_BD)).sum(dim=1).mean()


@torch.no_grad()
def spread(*vectors_BD: Tensor) -> Tensor:
    """Return how much directions vary over all workers' rows: 1 - |mean unit vector|^2.

    It is the sum of the variances of unit vectors' numbers: 0 where all point one way, which is collapse, 1 where they
    cancel out (Chen and He 2020, arXiv:2011.10566, figure 2, looks at the root of each).
    """
    units = torch.cat([exact_unit(x) for x in vectors_BD])
    return 1.0 - mean_over_workers(units.mean(dim=0)).square().sum()


@contextlib.contextmanager
def left_alone(network: nn.Module) -> Iterator[None]:
    """Run a network that is to stay as it is: without gradient, by the statistics that its batch norms have."""
    with torch.no_grad(), in_eval_mode(network):
        yield


def nothing_of(*networks: nn.Module) -> Tensor:
    """Return a 0 whose gradient is 0 for each parameter of networks that were left alone.

    It is for the loss: workers wait for each other's gradient of every parameter. ``Method.before_step`` then makes
    them None, so that nothing decays.
    """
    return torch.stack([parameter.sum() for network in networks for parameter in network.parameters()]).sum() * 0.0


class MomentumCopy(nn.Module):
    """A copy of a network that gets no gradient and follows the network's weights slowly.

    It starts equal. Parameters follow; buffers don't: the running statistics of its batch norms are its own, of what it
    sees itself, as in MoCo's code. In training mode it normalises by its own batch.

    With a final momentum, half a cosine leads from the first to it (BYOL, sec. 3.3; DINO, sec. 3.1).

    Args:
        source: the network that it follows, whose parameters stay the same objects; it is no part of this one.
        momentum: m, how much of its own weights stays at each step.
        final: m at the end of training, where it is another.
    """

    def __init__(self, source: nn.Module, momentum: float, final: float | None = None) -> None:
        super().__init__()
        self.momentum, self.final = momentum, momentum if final is None else final
        self.twin = copy.deepcopy(source).requires_grad_(False)
        self._source = (source,)  # in a tuple, it is no child: its parameters are not this module's
        self._pairs: _Pairs | None = None  # made once: walking modules takes longer than following

    @torch.no_grad()
    def follow(self, progress: float = 0.0, *, buffers: bool = False) -> None:
        """Set each weight to m * its own + (1 - m) * the source's; once per optimiser step, at this share of them.

        Args:
            progress: share of the steps done.
            buffers: whether to take the source's buffers as they are; else they stay.
        """
        momentum = self.final + (self.momentum - self.final) * 0.5 * (1.0 + math.cos(math.pi * progress))
        if self._pairs is None:
            (source,) = self._source
            self._pairs = (
                _pairs(self.twin.parameters(), source.parameters()),
                _pairs(self.twin.buffers(), source.buffers()),
            )
        weights, others = self._pairs
        torch._foreach_lerp_(*weights, 1.0 - momentum)
        if buffers and others[0]:
            torch._foreach_copy_(*others)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "MomentumCopy":
        self._pairs = None  # to another device buffers go as new ones
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call,no-any-return]

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return what the copy makes of ``x``, without gradient."""
        out: Tensor = self.twin(x)
        return out


_Lists = tuple[list[Tensor], list[Tensor]]
_Pairs = tuple[_Lists, _Lists]


def _pairs(ours: Iterable[Tensor], theirs: Iterable[Tensor]) -> _Lists:
    both = list(zip(ours, theirs, strict=True))
    return [mine for mine, _ in both], [other for _, other in both]


def by_size(net: Callable[[Tensor], Tensor], views: Sequence[Tensor]) -> Tensor:
    """Run ``net`` on each view, those of one size together, the sizes in the order in which they come first.

    Returns:
        [V, B, ...] in the order of the V views, each [B, C, H, W].
    """
    places: dict[torch.Size, list[int]] = {}
    for place, view in enumerate(views):
        places.setdefault(view.shape, []).append(place)
    made: dict[int, Tensor] = {}
    for same in places.values():
        made.update(zip(same, net(torch.cat([views[place] for place in same])).chunk(len(same)), strict=True))
    return torch.stack([made[place] for place in range(len(views))])


class KeyQueue(nn.Module):
    """The last K unit keys, first in first out; of any length, whether or not a batch divides it.

    Starts with random directions from torch's global generator. On several workers it is the same on all of them, as
    long as all push the same keys.

    Attributes:
        keys: float32 [K, D], a ring.
        oldest: int64 scalar, the row that the next key replaces.
    """

    keys: Tensor
    oldest: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(length, width), dim=1))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, keys_ND: Tensor) -> None:
        """Replace the oldest N keys by these, scaled to length 1; N is at most K."""
        length = len(self.keys)
        assert len(keys_ND) <= length
        places = (self.oldest + torch.arange(len(keys_ND), device=self.keys.device)) % length
        self.keys[places] = F.normalize(keys_ND.to(self.keys.dtype), dim=1)
        self.oldest.copy_((self.oldest + len(keys_ND)) % length)


def check_queue(length: int, keys: int) -> None:
    """Raise UserError where the keys of one step overflow a queue of this length."""
    if length < keys:
        raise UserError(
            f"method.queue {length} is shorter than the {keys} keys of one step; make it {keys} or more, or batch_size "
            "smaller"
        )


def squares(images: Tensor, corner_BN2: Tensor, px: int) -> Tensor:
    """Cut N squares of ``px`` pixels out of each of [B, C, H, W], by their top and left pixels: [B, N, C, px, px]."""
    row, pixel = (torch.arange(n, device=images.device) for n in (len(images), px))
    y_BNp, x_BNp = (corner_BN2[..., None] + pixel).unbind(2)
    return images.permute(0, 2, 3, 1)[row.view(-1, 1, 1, 1), y_BNp[..., None], x_BNp[:, :, None]].movedim(-1, 2)


@torch.no_grad()
def shuffled(net: nn.Module, x: Tensor, draws: Draws | None) -> tuple[Tensor, Tensor]:
    """Run ``net`` on the global batch in a random order; return its output on this worker's rows and on all.

    Shuffled batch norm (MoCo, sec. 3.3): each row meets other company in its group of batch norm than its partner in
    the other network does. One order for all workers, drawn by row, so that any number of them draws the same. Without
    draws, or where there is no batch norm by groups, the order makes no difference.

    Args:
        net: maps [B, ...] to [B, D]; gets no gradient.
        x: this worker's rows, [B, ...].
        draws: this worker's, for the same rows; None keeps the order.

    Returns:
        Outputs of this worker's rows, [B, D], and of all, [N, D], both in the order that the rows came in.
    """
    own_B = row_ids(len(x), x.device)
    if draws is None:
        y_ND = gather(net(x))
    else:
        order_N = gather(draws.uniform("shuffle")).argsort(stable=True)
        y_ND = gather(net(gather(x)[order_N[own_B]]))[order_N.argsort()]
    return y_ND[own_B], y_ND
