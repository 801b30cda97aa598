"""Chance that is not keyed is refused: torch's generator is one per worker, so what it gives depends on their number.

Dropout, stochastic depth and their like draw from it. A method that wants such a mask draws it by row, from
``batch.draws``.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from unlabeled.platform.errors import UserError


def check_no_dropout(method: nn.Module, name: str) -> None:
    """Check that no layer inside a method drops anything at random: torch's, timm's, torchvision's, or one alike.

    A layer drops if it has a rate above 0: a field with "drop" in its name, or ``p`` or ``prob`` where the class has.

    Raises:
        UserError: naming the layer, its field and its rate.
    """
    for path, layer in method.named_modules():
        kind = type(layer).__name__
        if isinstance(layer, nn.RReLU):
            raise UserError(f"{name} can't be trained with {path}, an RReLU: {_WHY}; take a ReLU or LeakyReLU")
        for field, rate in _rates(layer):
            raise UserError(
                f"{name} can't be trained with {path or 'itself'}, a {kind} with {field} {rate:g}: {_WHY}; set {field} "
                "to 0, or draw the mask from batch.draws"
            )


def remove_dropout(module: nn.Module) -> None:
    """Set every rate inside a module to 0, in place."""
    for layer in module.modules():
        for field, _ in list(_rates(layer)):
            setattr(layer, field, 0.0)


def _rates(layer: nn.Module) -> Iterator[tuple[str, float]]:
    drops = any(word in type(layer).__name__.lower() for word in ("drop", "stochasticdepth"))
    for field, rate in vars(layer).items():
        named = "drop" in field.lower() or (drops and field in ("p", "prob"))
        if named and isinstance(rate, float | int) and not isinstance(rate, bool) and 0.0 < rate <= 1.0:
            yield field, rate


@contextlib.contextmanager
def keyed_only(name: str, device: torch.device) -> Iterator[None]:
    """Run a training step, and check that torch's generator was left alone.

    Raises:
        UserError: something drew from it, such as ``F.dropout`` or ``torch.rand``.
    """
    before = _states(device)
    yield
    if any(not torch.equal(old, new) for old, new in zip(before, _states(device), strict=True)):
        raise UserError(
            f"{name} drew from torch's generator while it trained (F.dropout, torch.rand or the like): {_WHY}; draw "
            "from batch.draws"
        )


_WHY = "such chance would be another on another number of workers"


def _states(device: torch.device) -> list[Tensor]:
    # Where torch has not begun with the GPU, nothing can have been drawn there.
    on_gpu = device.type == "cuda" and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if on_gpu else [])]
