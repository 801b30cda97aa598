"""What each version of each kind stood for: its defaults, and numbers that it gave.

A finished run is taken for done by the versions of its kinds, with defaults left out. So a default that changes, or
code that gives other numbers, needs a raised version: these tests fail until it has one. Then
``UNLABELED_RECORD=1 pytest tests/contracts/test_versions.py`` adds what the new version gives to ``versions.json``;
what an old one gave is never rewritten.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from formats import plain
from grids import told_of
from torch import nn

from unlabeled.methods.losses.numerics import unit
from unlabeled.methods.supervised.class_losses import ClassLoss
from unlabeled.platform.augment import Moment, Op, Stream, View, ViewPlan, WaveOp
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import DataConfig, WaveFormat
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import EncoderConfig, MFCCConfig, TimmConfig, WaveConfig
from unlabeled.platform.evaluate import Detect, FeatureProbe, Features, Measurement, ProbeConfig, Segment
from unlabeled.platform.method import Example, MethodConfig
from unlabeled.platform.optim import OptimizerConfig
from unlabeled.platform.settings import Settings, Variant
from unlabeled.platform.testing.examples import Exact, run_of
from unlabeled.platform.train.loaded import data_of
from unlabeled.platform.train.loop import Training

HERE = Path(__file__)
RECORD = HERE.with_name("versions.json")
CLOSE = 1e-4  # relative: views are made in float32, whose last digit differs between processors

WENT = {"EvaluationConfig@1": ("layers", "transformations", "transfer")}
"""Fields that a kind had, whose defaults asked for nothing: without them its defaults mean what they meant."""

KINDS: dict[str, type[Settings]] = {
    **{kind.__name__: kind for kind in (RunConfig, EvaluationConfig, DataConfig, View, ViewPlan, Stream, Moment)},
    **{
        f"{family.__name__}/{name}": kind
        for family in (MethodConfig, EncoderConfig, Op, WaveOp, OptimizerConfig, ProbeConfig, ClassLoss)
        for name, kind in family.family.items()
        if kind.__module__.startswith("unlabeled.")  # tests declare kinds of their own
    },
}


def defaults(kind: type[Settings]) -> dict[str, Any]:
    """Return the defaults of a kind's fields as JSON values; of those inside them, what is set and no default."""
    found = {}
    for name, field in kind.model_fields.items():
        if not field.is_required():
            found[name] = _plain(field.get_default(call_default_factory=True))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, View) and value == View(policy=value.policy):
        return _plain(value.policy)  # which it is written as
    if isinstance(value, Measurement) and value.is_plain:
        return _plain(value.probe)  # which it is written as
    if isinstance(value, Variant):
        return {"name": value.name, **{name: _plain(getattr(value, name)) for name in sorted(value.model_fields_set)}}
    if isinstance(value, Settings):
        return {
            name: _plain(getattr(value, name)) for name in type(value).model_fields if name in value.model_fields_set
        }
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value


def numbers(kind: type[Settings]) -> dict[str, float]:
    """Return a few numbers that any change of what a kind computes would move."""
    if issubclass(kind, MethodConfig):
        return dict(_of_method(kind.example()))
    if issubclass(kind, Op):
        return dict(_of_op(kind()))
    if issubclass(kind, WaveOp):
        return dict(_of_wave_op(kind()))
    if issubclass(kind, OptimizerConfig):
        return dict(_of_optimizer(kind()))
    if issubclass(kind, FeatureProbe):
        return dict(_of_probe(kind()))
    if issubclass(kind, ClassLoss):
        return dict(_of_class_loss(kind()))
    if issubclass(kind, EncoderConfig) and kind is not TimmConfig:  # that library's numbers are its own
        return dict(_of_encoder(kind()))
    return {}


def _of_method(example: Example) -> Iterator[tuple[str, float]]:
    run = run_of(example, batch_size=32)
    torch.set_default_dtype(torch.float64)
    try:
        training = Training(run, data_of(run), Exact())
    finally:
        torch.set_default_dtype(torch.float32)
    next(training.steps())
    yield from ((log, value.item()) for log, value in training.meter.sums.items())


def _of_op(op: Op) -> Iterator[tuple[str, float]]:
    draws = Draws(torch.arange(24), "versions")
    images = draws.uniform("images", 3, 16, 16)
    ramp = torch.linspace(0.5, 1.5, 16)
    made = op(images, draws.fold_in("op"))
    yield "mean", made.double().mean().item()
    yield "across", (made.double().mean(dim=(0, 1)) * torch.linspace(0.5, 1.5, made.shape[-1])).mean().item()
    yield "channels", (made.double().mean(dim=(0, 2, 3)) * ramp[: made.shape[1]]).mean().item()
    yield "squares", made.double().square().mean().item()


def _of_wave_op(op: WaveOp) -> Iterator[tuple[str, float]]:
    draws = Draws(torch.arange(24), "versions")
    made = op(draws.uniform("waves", 2, 64) * 1.6 - 0.8, draws.fold_in("op")).double()
    yield "mean", made.mean().item()
    yield "across", (made.mean(dim=(0, 1)) * torch.linspace(0.5, 1.5, 64)).mean().item()
    yield "squares", made.square().mean().item()


def _of_optimizer(config: OptimizerConfig) -> Iterator[tuple[str, float]]:
    draws = Draws(torch.arange(4), "versions")
    layer = nn.Linear(3, 4).double()
    with torch.no_grad():
        layer.weight.copy_(draws.normal("weight", 3))
        layer.bias.copy_(draws.normal("bias"))
    optimizer = config.build(layer)
    for step in range(3):
        layer.weight.grad = draws.normal(f"gradient {step}", 3).double()
        layer.bias.grad = draws.normal(f"gradient of the bias {step}").double()
        optimizer.step()
    for name, parameter in layer.named_parameters():
        yield name, parameter.detach().double().mean().item()
    rates = [config.learning_rate_at(step, 10, 100, 512) for step in (0, 7, 50, 99)]
    yield "rates", sum(rate / config.learning_rate for rate in rates)


def _of_probe(probe: FeatureProbe) -> Iterator[tuple[str, float]]:
    if probe.target != "class" or probe.reads == "grid":
        if isinstance(probe, Segment | Detect):
            probe = probe.with_field("min_steps", 20).with_field("epochs", 1)
        yield from probe(*told_of(probe)).items()
        return
    draws = Draws(torch.arange(400), "versions")
    labels = draws.integers("labels", 4)
    x = draws.normal("x", 8) + 0.8 * nn.functional.one_hot(labels, 8)
    train, test = (Features(x[rows], labels[rows]) for rows in (slice(0, 300), slice(300, 400)))
    yield from probe(train, test).items()


def _of_class_loss(loss: ClassLoss) -> Iterator[tuple[str, float]]:
    draws = Draws(torch.arange(40), "versions")
    x = draws.normal("x", 4).double()
    x = unit(x) if loss.on_sphere else x
    yield "loss", loss(x, draws.integers("labels", 4), draws.uniform("chance")).item()


def _of_encoder(config: EncoderConfig) -> Iterator[tuple[str, float]]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sounds = WaveFormat(1, 2000, 16_000.0, (0.0,), (1.0,))
        shown = sounds if isinstance(config, WaveConfig | MFCCConfig) else plain(1, 28)
        encoder = config.build(shown).double()
    made = encoder(Draws(torch.arange(4), "versions").uniform("images", *shown.shape).double()).detach()
    yield "mean", (made * torch.linspace(0.5, 1.5, made.shape[1])).mean().item()
    yield "squares", made.square().mean().item()
    yield "parameters", float(sum(p.numel() for p in encoder.parameters()))


def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    return found


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


@pytest.fixture(scope="module", autouse=True)
def _add_what_is_new() -> None:
    if os.environ.get("UNLABELED_RECORD"):
        known = recorded()
        for name, kind in KINDS.items():
            key = f"{name}@{kind.version}"
            known.setdefault(key, {"defaults": as_json(defaults(kind)), "numbers": numbers(kind)})
        RECORD.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


@pytest.mark.parametrize("name", KINDS)
def test_a_version_keeps_its_defaults_and_gives_what_it_gave(name: str) -> None:
    kind = KINDS[name]
    before = recorded().get(f"{name}@{kind.version}")
    assert before is not None, f"{name}@{kind.version} is not recorded; see the top of {HERE.name}"
    found, wanted = as_json(defaults(kind)), before["defaults"]
    for path in WENT.get(f"{name}@{kind.version}", ()):
        assert not wanted.pop(path), f"{path} of {name} asked for something"
    for path in wanted.keys() & found.keys():
        if [wanted[path]] == found[path]:  # one stands for a list of it
            wanted[path] = found[path]
    assert {path: found[path] for path in wanted if path in found} == wanted, (
        f"a default of {name} changed or went; raise its version"
    )
    _compare(name, numbers(kind), before["numbers"])


def _compare(name: str, found: Mapping[str, float], before: Mapping[str, float]) -> None:
    for what, value in before.items():
        assert found.get(what) == pytest.approx(value, rel=CLOSE, abs=CLOSE * CLOSE), (
            f"{name} gives another {what} than it gave; raise its version"
        )


def test_the_versions_of_today_are_the_newest_recorded() -> None:
    newest: dict[str, int] = {}
    for key in recorded():
        name, _, version = key.rpartition("@")
        newest[name] = max(newest.get(name, 0), int(version))
    assert {name: kind.version for name, kind in KINDS.items()} == newest


def test_a_change_without_a_raised_version_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "OptimizerConfig/sgd"
    before = recorded()[f"{name}@1"]
    kind = KINDS[name]
    monkeypatch.setattr(
        kind, "_groups", lambda self, module, groups: [{"params": list(module.parameters()), "weight_decay": 0.1}]
    )
    with pytest.raises(AssertionError, match="raise its version"):
        _compare(name, numbers(kind), before["numbers"])
    monkeypatch.setattr(kind.model_fields["momentum"], "default", 0.8)
    assert as_json(defaults(kind)) != before["defaults"]
