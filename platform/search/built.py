"""Did the sampled value reach what is trained? The run is built, without memory for its weights, and read back."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.errors import UserError
from unlabeled.platform.train.built import check_built

_OPTIMIZER = {"learning_rate": "lr", "momentum": "momentum", "weight_decay": "weight_decay", "betas": "betas"}


def read_back(run: RunConfig, point: Mapping[str, Any], data: Data, workers: int = 1) -> dict[str, Any]:
    """Build a run and return path -> the value found in what was built, for every path of a point that shows there.

    A method's number is the attribute of its name, on the module or on a part of it; widths are those of the linear
    layers of the part of that name; an optimiser's settings are its first group's. What shows nowhere (the batch size,
    the views) is read from the run itself.

    Raises:
        UserError: the run does not fit its data or encoder, or a value did not arrive.
    """
    method = check_built(run, data, workers)
    found: dict[str, Any] = {}
    for path, value in point.items():
        seen = list(_seen(run, method, path))
        found[path] = seen[0] if seen else field_of(run, path)
        for each in seen or [field_of(run, path)]:
            if each != value and each != _coerced(value):
                raise UserError(f"{path} was to be {value!r}, but what is built has {each!r}")
    return found


def _seen(run: RunConfig, method: nn.Module, path: str) -> Iterator[Any]:
    area, _, field = path.partition(".")
    if area == "optimizer" and field in _OPTIMIZER:
        optimizer = run.optimizer.build(nn.Linear(2, 2))
        group = optimizer.param_groups[0]
        if _OPTIMIZER[field] in group:
            yield group[_OPTIMIZER[field]]
    elif area == "method":
        part = getattr(method, field, None)
        if isinstance(part, nn.Module) and isinstance(field_of(run, path), tuple):
            yield tuple(layer.out_features for layer in part.modules() if isinstance(layer, nn.Linear))
        for module in method.modules():
            own = module.__dict__.get(field)
            if isinstance(own, bool | int | float) and not hasattr(module, "eps"):  # a batch norm's momentum is another
                yield own


def field_of(run: RunConfig, path: str) -> Any:
    """Return the value at a dotted path."""
    value: Any = run
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _coerced(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
