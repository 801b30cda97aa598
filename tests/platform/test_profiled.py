"""Profiled steps: what is said of them adds up and is of them alone, and the run stays the same."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from unlabeled.methods.contrastive.moco import MoCoConfig
from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.config import RunConfig
from unlabeled.platform.processor import Processor
from unlabeled.platform.testing.examples import assert_same, run_of
from unlabeled.platform.train import profiled
from unlabeled.platform.train.events import Event, Finished, Noted
from unlabeled.platform.train.execution import execute
from unlabeled.platform.train.loaded import data_of
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.profiled import PARTS, TABLE, TRACE, WARM_UP, as_asked, part, profiling

CPU = torch.device("cpu")


def a_run() -> RunConfig:
    return run_of(MoCoConfig.example(), batch_size=32)


def trained(run: RunConfig, folder: Path | None = None, count: int = 3) -> tuple[Training, list[str]]:
    training, said = Training(run, data_of(run), Processor(CPU, "fp32")), []
    steps = training.steps()
    for _ in steps if folder is None else profiled.profiled(steps, count, CPU, folder, said.append):
        torch.full((200, 200), 2.0).cos()  # between steps: not of them
    return training, said


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, str, Path]:
    """A run of which steps were profiled, what was said, and the folder of the trace."""
    folder = tmp_path_factory.mktemp("profile")
    training, (said,) = trained(a_run(), folder)
    return training, said, folder


def test_a_run_gives_the_same_with_it(profile: tuple[Training, str, Path]) -> None:
    with_it, (without, _) = profile[0], trained(a_run())
    assert with_it.step == with_it.total_steps > WARM_UP + 3
    assert_same(with_it.state(), without.state())


def test_what_is_said_adds_up_and_is_of_steps_alone(profile: tuple[Training, str, Path]) -> None:
    said = profile[1]
    parts, operations = said.split("\n\n")[:2]
    ms = {line.split()[0]: float(line.split()[1]) for line in parts.splitlines()[2:]}
    assert tuple(ms) == (*PARTS, "rest", "step")
    assert sum(value for name, value in ms.items() if name != "step") == pytest.approx(ms["step"], abs=0.01)
    assert all(ms[name] > 0.0 for name in PARTS)
    listed = operations.splitlines()[1:]
    assert len(listed) == profiled.COSTLIEST
    spent = [float(line.split()[-3]) for line in listed]
    assert spent == sorted(spent, reverse=True)
    assert 0.0 < sum(spent) <= ms["step"]
    assert any("convolution" in line for line in listed)
    assert "aten::cos" not in said


def test_the_trace_has_the_parts_of_each_step(profile: tuple[Training, str, Path]) -> None:
    trace = json.loads(gzip.decompress((profile[2] / TRACE).read_bytes()))
    names = [event.get("name") for event in trace["traceEvents"]]
    for name in ("step", "views", "forward", "backward", "optimiser", "after_step"):
        assert names.count(name) == 3, name


def test_micro_batches_have_their_parts(tmp_path: Path) -> None:
    run = run_of(SimCLRConfig.example(), micro_batch=32)
    _, (said,) = trained(run, tmp_path, count=1)
    assert all(f"\n{name} " in said for name in PARTS)


@pytest.mark.parametrize(("steps", "said"), [(WARM_UP, "nothing was profiled"), (WARM_UP + 2, "time of 2 steps")])
def test_a_run_that_is_short_has_fewer(steps: int, said: str, tmp_path: Path) -> None:
    heard: list[str] = []
    taken = list(profiled.profiled(iter(range(steps)), 9, CPU, tmp_path, heard.append))
    assert taken == list(range(steps))
    assert said in heard[0]


def test_an_error_in_a_step_ends_it(tmp_path: Path) -> None:
    def steps() -> Iterator[int]:
        yield from range(WARM_UP + 1)
        raise ValueError("a step failed")

    with pytest.raises(ValueError, match="a step failed"):
        list(profiled.profiled(steps(), 9, CPU, tmp_path, print))
    assert part("forward") is part("backward"), "nothing is measured any more"


def test_parts_are_nothing_where_nobody_asks() -> None:
    steps = iter(())
    assert as_asked(steps, CPU, Path(), print) is steps
    assert part("forward") is part("views")


def test_a_run_that_is_asked_to_says_it_and_keeps_it_among_its_files(tmp_path: Path) -> None:
    events: list[Event] = []
    quick = a_run().with_field("evaluation.final", []).with_field("evaluation.tsne_images", 0)
    with profiling(2):
        execute(quick, data_of(quick), tmp_path, Processor(CPU, "fp32"), events.append)
    (told,) = [event.text for event in events if isinstance(event, Noted)]
    assert "where the time of 2 steps went" in told
    assert isinstance(events[-1], Finished)
    assert (events[-1].files / "profile" / TABLE).read_text().strip() in told
