"""What depends on a device: how some samples of a batch are changed, and where constants come from.

A GPU is not asked how many samples were chosen, and gets no numbers from the host: it would be waited for.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor


def change_chosen(
    items: Tensor,
    chosen_B: Tensor,
    change: Callable[..., Tensor],
    *parameters: Tensor,
    at_once: int | None = None,
    overwrite: bool = False,
) -> Tensor:
    """Change the chosen samples of a batch; the others come back as they were.

    A CPU computes the chosen ones alone. A GPU computes all, and takes those that were chosen; the numbers are the
    same.

    Args:
        items: [B, \\*].
        chosen_B: bool [B].
        change: takes some of the items, and as many rows of the parameters; returns items of the same shape.
        parameters: each [B, \\*].
        at_once: how many are changed at once at most, on a CPU: so many as its cache holds.
        overwrite: whether the result takes the items' memory.
    """
    if not computes_chosen_alone(items.device):
        chosen = chosen_B.view(-1, *[1] * (items.ndim - 1))
        return torch.where(chosen, change(items, *parameters), items, out=items if overwrite else None)
    every = chosen_B.nonzero().squeeze(1)
    result = items if overwrite else items.clone()
    for rows in every.tensor_split(-(-len(every) // at_once)) if at_once and len(every) > at_once else (every,):
        changed = change(*(values.index_select(0, rows) for values in (items, *parameters)))
        result.index_copy_(0, rows, changed)
    return result


def computes_chosen_alone(device: torch.device) -> bool:
    """Tell whether it is a CPU, which can be asked for numbers at no cost."""
    return device.type == "cpu"


@lru_cache(maxsize=256)
def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a tensor [n] of these numbers, which others have, too: it must not be changed. Made once, on its device.

    >>> constant((0.5, 2.0), torch.device("cpu"))
    tensor([0.5000, 2.0000])
    """
    if device.type == "cpu":
        return torch.tensor(values, dtype=dtype)
    return torch.stack([torch.full((), value, dtype=dtype, device=device) for value in values])
