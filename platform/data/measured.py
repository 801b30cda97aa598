"""What has to be known of each film or sound before it is cut into items, kept so that it is found out only once.

It is kept under the sha256 of a file's contents, beside the digests of :mod:`unlabeled.platform.data.digests`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unlabeled.platform.data.digests import file_digests, keep_rows, kept_rows

_THREADS = 4


def measured(
    folder: Path, paths: Sequence[str], what: str, columns: int, measure: Callable[[Path], Sequence[float]]
) -> tuple[list[bytes], npt.NDArray[np.float64]]:
    """Measure files, those that were not measured before.

    Args:
        folder: absolute; what the paths start at.
        paths: each once.
        what: names the measure and its version; another one is kept elsewhere.
        columns: how many numbers it gives.
        measure: is told a file's path, and may refuse it.

    Returns:
        The sha256 of each file's contents, and float64 [len(paths), columns].

    Raises:
        UserError: a file is missing or can't be read; it is named. Or what ``measure`` raises.
    """
    digests = file_digests(folder, paths)
    row = np.dtype([("digest", "V32"), ("found", "<f8", (columns,))])
    known = {kept["digest"].tobytes(): kept["found"] for kept in kept_rows(folder, what, row)}
    new = [place for place, digest in enumerate(digests) if digest not in known]
    with ThreadPoolExecutor(_THREADS) as pool:
        for place, found in zip(new, pool.map(lambda place: measure(folder / paths[place]), new), strict=True):
            known[digests[place]] = np.array(found, np.float64)
    if new:
        rows = np.zeros(len(known), row)
        rows["digest"] = np.frombuffer(b"".join(known), "V32")
        rows["found"] = np.stack(list(known.values()))
        keep_rows(folder, what, rows)
    return digests, np.stack([known[digest] for digest in digests])
