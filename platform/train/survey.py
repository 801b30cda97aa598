"""What every pretraining item looks like to a module, between epochs: several workers take parts, and all get all."""

import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.platform import collective
from unlabeled.platform.data import Source
from unlabeled.platform.draws import Draws
from unlabeled.platform.evaluate.features import check_finite, encode, in_eval_mode
from unlabeled.platform.evaluate.pixels import pixels
from unlabeled.platform.method import Survey
from unlabeled.platform.processor import Processor

CHUNK = 256  # items embedded at a time, on any number of workers the same: so what comes of them is bitwise the same


class TrainingSurvey(Survey):
    """Shows items in chunks, of which each worker takes every so-many-th."""

    def __init__(self, items: Source, processor: Processor, draws: Draws, field: str = "image") -> None:
        self.draws = draws
        self._items, self._processor, self._field = items, processor, field
        shape = items.fields[field].shape
        self._chunk = max(1, CHUNK // (shape[0] if len(shape) == 4 else 1))  # of clips as many frames

    @torch.no_grad()
    def features(self, module: nn.Module) -> Tensor:
        """Return what a module makes of every item; see :meth:`Survey.features`."""
        chunks = torch.split(self._items.rows, self._chunk)
        turns = -(-len(chunks) // collective.world_size())
        turn = range(collective.rank(), turns * collective.world_size(), collective.world_size())
        # A worker that has none left takes the last one again: all have as many to tell.
        own = [chunks[min(number, len(chunks) - 1)] for number in turn]
        with in_eval_mode(module), contextlib.closing(pixels(self._items, own, self._processor, self._field)) as shown:
            made = [self._of_chunk(module, x) for x in shown]
        own_TCD = torch.stack(made)
        every_WTCD = collective.gather(own_TCD).view(-1, *own_TCD.shape)
        x = every_WTCD.transpose(0, 1).flatten(0, 2)[: len(self._items)]
        check_finite(x)
        return x

    def _of_chunk(self, module: nn.Module, shown: Tensor) -> Tensor:
        """Return the features of some items, and zeros up to a whole chunk."""
        with self._processor.autocast():
            x = encode(module, self._processor.layout(shown), self._processor)
        x = x.to(torch.promote_types(x.dtype, torch.float32))  # of bf16; tests compute in float64
        return F.pad(x, (0, 0, 0, self._chunk - len(x)))
