"""Runs of a method's example, and what suites compare of them."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from unlabeled.platform.config import RunConfig
from unlabeled.platform.method import Example, MethodConfig
from unlabeled.platform.optim import AdamW
from unlabeled.platform.processor import Processor


def run_of(example: Example, method: MethodConfig | None = None, **fields: object) -> RunConfig:
    """Return a run of the example: two epochs, of four steps each on most.

    Args:
        example: of which method, encoder, data and batch are.
        method: with other settings than the example's.
        fields: of the run, in the place of the example's.
    """
    own = {"data": example.data, "encoder": example.encoder, "epochs": 2, "batch_size": example.batch_size}
    return RunConfig.checked(**{"method": method or example.method, **own, **fields})


def learning_run(example: Example) -> RunConfig:
    """Return the run that shows that the method learns."""
    data = example.data.with_field("train_images", 2048)
    run = run_of(example, data=data, optimizer=AdamW(learning_rate=5e-3), epochs=5)
    for path, value in example.learning.items():
        run = run.with_field(path, value)
    return run


def settings_of(example: Example) -> dict[str, MethodConfig]:
    """Return all settings of an example by name: the method's alone, and "NAME, WHAT" of the others."""
    name = example.method.name
    return {name: example.method, **{f"{name}, {what}": other for what, other in example.others.items()}}


class Exact(Processor):
    """A device, by default the CPU, that computes in float64: in float32, where sums are long, rounding hides much."""

    def __init__(self, device: torch.device | None = None) -> None:
        super().__init__(device or torch.device("cpu"), "fp32")

    def layout(self, x: Tensor) -> Tensor:
        """Widen the views."""
        return x.double()


def tensors(state: object, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of a state with its path; a number as a tensor."""
    if isinstance(state, Mapping):
        for name, inner in state.items():
            yield from tensors(inner, f"{path}/{name}")
    elif isinstance(state, list | tuple):
        yield from tensors(dict(enumerate(state)), path)
    elif isinstance(state, Tensor | int | float) and not path.endswith("/seconds"):
        yield path, torch.as_tensor(state)


def assert_same(one: object, other: object) -> None:
    """Assert that two states are bitwise the same."""
    ours, theirs = dict(tensors(one)), dict(tensors(other))
    assert ours.keys() == theirs.keys()
    assert not [path for path in ours if not torch.equal(ours[path], theirs[path])]


def distance(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], zero: float = 1e-30) -> dict[str, float]:
    """Return each tensor's largest error, relative to its largest value; values below ``zero`` are taken for it."""
    assert actual.keys() == expected.keys()
    return {
        path: float((actual[path].double() - value.double()).abs().max() / value.double().abs().max().clamp_min(zero))
        for path, value in expected.items()  # numbers of any kind, masks too
    }
