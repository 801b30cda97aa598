"""What items show, read ahead of what looks at them."""

import contextlib
from collections.abc import Generator, Sequence

from torch import Tensor

from unlabeled.platform.augment.op import as_float
from unlabeled.platform.data import Source
from unlabeled.platform.data.threads import read_ahead, threads_for
from unlabeled.platform.processor import Processor


def pixels(source: Source, chunks: Sequence[Tensor], processor: Processor, field: str = "image") -> Generator[Tensor]:
    """Yield what a field shows of some items, chunk after chunk, on the device.

    Args:
        source: of the items.
        chunks: int64 [b], the items of each chunk.
        processor: what it is computed on.
        field: a picture, a clip or a sound.

    Returns:
        float32 [b, ...] in [0, 1], or what a source has as floating-point numbers, as it is.

    Raises:
        UserError: a file can't be read; it is named.
    """
    threads = threads_for(processor.device, in_memory=source.is_in_memory(field))
    with contextlib.closing(
        read_ahead(lambda rows: processor.pinned(source.tensor(rows, field)), chunks, threads)
    ) as found:
        for x in found:
            yield as_float(processor.put(x))
