"""The most similar of many features, exactly, in memory that does not grow with how many they are."""

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.platform.evaluate.features import Features

_BANK, _ASKED = 4096, 512  # rows compared at a time: 8 MiB of similarities
_GPU_BANK, _GPU_ASKED = 65_536, 4096


def nearest(asked: Features, bank: Features, count: int) -> tuple[Tensor, Tensor]:
    """Return cosine similarities float32 [N, count], the largest first, and whose they are, int64 [N, count].

    The bank is walked once, in blocks, of which each is compared with all that is asked; the best so far are kept.

    Args:
        asked: N labelled features [N, D].
        bank: labelled features to look in.
        count: how many of them; there are as many.
    """
    assert asked.labels is not None
    device = asked.labels.device
    rows, columns = (_GPU_ASKED, _GPU_BANK) if device.type == "cuda" else (_ASKED, _BANK)
    best = torch.full((len(asked), count), -torch.inf, device=device)
    whose = torch.zeros(len(asked), count, dtype=torch.int64, device=device)
    for start in range(0, len(bank), columns):
        unit = F.normalize(bank.x[start : start + columns].to(device), dim=1)
        for x, best_so_far, whose_so_far in zip(
            torch.split(asked.x, rows), torch.split(best, rows), torch.split(whose, rows), strict=True
        ):
            found, place = (F.normalize(x.to(device), dim=1) @ unit.T).topk(min(count, len(unit)))
            known, names = torch.cat([best_so_far, found], dim=1), torch.cat([whose_so_far, place + start], dim=1)
            kept, taken = known.topk(count)
            best_so_far.copy_(kept)
            whose_so_far.copy_(names.gather(1, taken))
    return best, whose
