"""Pictures that live where they are computed on: small sets need not be read again for each batch."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from unlabeled.platform.data import Source
from unlabeled.platform.processor import Processor

Kept = Mapping[str, Tensor]
"""Fields of all items on the device, by name: uint8 [N, C, H, W]."""

CHUNK = 4096  # pictures brought at a time


def resident(source: Source, fields: Iterable[str], processor: Processor) -> dict[str, Tensor]:
    """Return whole fields of all items on the device, by name: pictures that lie in memory, as far as there is room.

    A field is kept where it fits into what :attr:`Processor.room_for_data` leaves, one after another.

    Args:
        source: of the items.
        fields: which are asked for.
        processor: on whose device.
    """
    room, kept = processor.room_for_data, {}
    for name in dict.fromkeys(fields):
        field = source.fields[name]
        size = len(source) * math.prod(field.shape)  # a byte each
        if field.kind != "image" or size > room or not source.is_in_memory(name) or not bool(source.known(name).all()):
            continue
        room -= size
        whole = torch.empty(len(source), *field.shape, dtype=torch.uint8, device=processor.device)
        for rows in torch.split(source.rows, CHUNK):
            whole[int(rows[0]) : int(rows[-1]) + 1] = processor.put(source.tensor(rows, name))
        kept[name] = whole
    return kept
