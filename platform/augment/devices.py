"""What depends on the device: how a batch, or some samples of it, are changed, and where constants come from.

A CPU changes so many samples at once as its cache holds. A GPU changes all of them; it is not asked how many were
chosen, and gets no numbers from the host, because it would be waited for.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch
from torch import Tensor

_FLOATS_AT_ONCE = 1_200_000  # eight pictures of 224 px: what lies between two operations stays in a CPU's last cache


def change_in_parts(
    items: Tensor, change: Callable[[Tensor, slice], Tensor], floats: int, *, on_threads: bool
) -> Tensor:
    """Change a batch: on a CPU in parts, with the same numbers.

    Args:
        items: [B, \\*].
        change: takes some of the items, and which they are; returns as many.
        floats: about as many as one of them is changed to.
        on_threads: whether each part is changed on a thread of its own, as many at once as torch has threads. Else
            each operation is, so that threads wait for each other after it: costly where the processor has other work.
    """
    parts = -(-len(items) * floats // _FLOATS_AT_ONCE)
    threads = torch.get_num_threads() if on_threads and parts > 1 else 1
    parts = min(-(-parts // threads) * threads, len(items) // 2)  # of two or more: one alone is summed otherwise
    if items.device.type != "cpu" or parts < 2:
        return change(items, slice(None))
    made: list[Tensor] = []
    lock = threading.Lock()

    def change_part(number: int) -> None:
        rows = slice(number * len(items) // parts, (number + 1) * len(items) // parts)
        with torch.no_grad():  # which each thread has its own of
            part = change(items[rows], rows)
            with lock:
                if not made:
                    made.append(part.new_empty(len(items), *part.shape[1:]))
            made[0][rows] = part

    if threads == 1:
        for number in range(parts):
            change_part(number)
    else:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(change_part, range(parts)))
        torch.set_num_threads(threads)  # in those threads it was said for all that are still to come
    return made[0]


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
