"""Values as JSON has them, from what people declare them with: NumPy's and torch's numbers, ranges, paths."""

import enum
import os
from collections.abc import Mapping
from typing import Any

from unlabeled.platform.settings import Settings


def plain_value(value: Any) -> Any:
    """Return the value with nothing but what JSON and settings know, so that it can be recorded as it is used.

    A float of fewer bits than Python's becomes the shortest decimal that rounds to it: 0.1 in 32 bits is 0.1.

    Raises:
        ValueError: it is, or contains, something else. (pydantic makes a user's error of it.)

    >>> import numpy as np
    >>> plain_value({"batch_size": np.arange(32, 65, 32), "temperature": np.float32(0.1)})
    {'batch_size': (32, 64), 'temperature': 0.1}
    """
    if isinstance(value, enum.Enum):
        return plain_value(value.value)
    if value is None or isinstance(value, Settings) or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain_value(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain_value(inner) for inner in value]
    if isinstance(value, tuple | range):
        return tuple(plain_value(inner) for inner in value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if callable(getattr(value, "tolist", None)):  # NumPy's and torch's, and what wraps them
        return _of_array(value)
    for kind in (int, float, str):  # somebody's own kind of one
        if isinstance(value, kind):
            return kind(value)
    raise ValueError(f"{value!r} is a {type(value).__name__}, which can't be recorded; give numbers, text or lists")


def _of_array(array: Any) -> Any:
    import numpy as np

    if callable(getattr(array, "detach", None)):  # torch's, one kind of which NumPy does not know
        array = array.detach().cpu()
        array = array.float().numpy() if array.is_floating_point() and array.itemsize < 4 else array.numpy()
    array = np.asarray(array)
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        array = array.astype(str).astype(float)
    return plain_value(_as_tuples(array.tolist()))


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(inner) for inner in value) if isinstance(value, list) else value
