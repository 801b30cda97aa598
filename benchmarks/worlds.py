"""How fast are the composed worlds made?

Measured: the CPU time, on one thread, of reading each field of 256 scenes of 64 px and of 64 films of 16 frames of
48 px.
Targets: 300 scenes a second, and 2,000 films a minute, so that training on two cores does not wait for them.
"""

import statistics
from collections.abc import Iterator

import torch

from benchmarks.compare import Row, cpu_in_turns, one_thread
from unlabeled.platform.data import Source
from unlabeled.platform.data.worlds.films import Films
from unlabeled.platform.data.worlds.scenes import Scenes

ROUNDS = 5
SCENES_PER_SECOND = 300
FILMS_PER_MINUTE = 2_000


def rows() -> Iterator[Row]:
    with one_thread():
        yield from _rows("scenes", Scenes("train", torch.arange(256), 64), {"image": SCENES_PER_SECOND})
        yield from _rows("films", Films("train", torch.arange(64), 48), {"clip": FILMS_PER_MINUTE / 60})


def _rows(what: str, source: Source, targets: dict[str, float]) -> Iterator[Row]:
    for field in source.fields:
        speed = _per_second(source, field, len(source))
        target = targets.get(field)
        yield Row(
            what=f"{what}: {field}",
            ours=f"{speed:,.0f} a second",
            reference="",
            target=f"at least {target:,.0f} a second" if target else "",
            met=speed >= target if target else None,
        )


def _per_second(source: Source, field: str, count: int) -> float:
    index = torch.arange(count)
    (seconds,) = cpu_in_turns(lambda: source.read(index, field), rounds=ROUNDS)
    return count / statistics.median(seconds)
