"""Kinds that installed packages bring by entry points: found by name, and never in the way."""

import logging
import sys
from collections.abc import Iterator

import pytest
import torch

from unlabeled.platform import settings
from unlabeled.platform.augment import Op, Policy
from unlabeled.platform.data import DATASETS, DataConfig, load
from unlabeled.platform.data.catalogue import datasets
from unlabeled.platform.encoder import EncoderConfig
from unlabeled.platform.evaluate import ProbeConfig
from unlabeled.platform.optim import OptimizerConfig

MODULE = """
from pydantic import Field
import torch

from unlabeled.platform.augment import Op
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.evaluate import FeatureProbe
from unlabeled.platform.optim import SGD

class Invert(Op):
    name = "brought-invert"
    strength: float = Field(default=1.0, ge=0.0, le=1.0)
    def parameters(self, *_):
        return ()
    def apply(self, images, *_):
        return torch.lerp(images, 1.0 - images, self.strength)

class Wide(ConvNetConfig):
    name = "brought-wide"
    width: int = 48

class Constant(FeatureProbe):
    name = "brought-constant"
    def learn(self, train):
        return lambda test: {"top1": 0.5}

class Slow(SGD):
    name = "brought-slow"

from unlabeled.platform.data.catalogue import CatalogueEntry
from unlabeled.platform.data.shipped import fetch_nothing, read_emoji

PICTURES = CatalogueEntry("emoji by another name", "few", "theirs", "them", read_emoji, fetch_nothing)

class Twice(Op):
    name = "flip"
"""
KINDS = {
    "ops": (Op, "brought-invert", "Invert"),
    "encoders": (EncoderConfig, "brought-wide", "Wide"),
    "probes": (ProbeConfig, "brought-constant", "Constant"),
    "optimizers": (OptimizerConfig, "brought-slow", "Slow"),
}


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install a package, as pip would leave it."""
    folder = tmp_path_factory.mktemp("site")
    name = "a_package_of_kinds"
    code, twice = MODULE.split("class Twice")
    (folder / f"{name}.py").write_text(code)
    (folder / f"{name}_twice.py").write_text(f"from unlabeled.platform.augment import Op\n\nclass Twice{twice}")
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    points = [f"[unlabeled.{group}]\n{kind} = {name}:{cls}\n" for group, (_, kind, cls) in KINDS.items()]
    points[0] += f"gone = {name}:Gone\nflip = {name}_twice:Twice\nno-op = {name}:Wide\n"
    points.append(f"[unlabeled.data]\nbrought-pictures = {name}:PICTURES\nemoji = {name}:PICTURES\nno = {name}:Wide\n")
    (about / "entry_points.txt").write_text("".join(points))
    families = [family for family, _, _ in KINDS.values()]
    before = [dict(family.family) for family in families]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(settings, "_LOADED", set())
        datasets.cache_clear()
        yield
    datasets.cache_clear()
    for family, kinds in zip(families, before, strict=True):
        family.family.clear()
        family.family.update(kinds)
    for module in (name, f"{name}_twice"):
        sys.modules.pop(module, None)


def test_what_is_no_kind_is_left_out_with_a_line_and_the_others_are_there(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        kinds = Op.kinds()
    assert "brought-invert" in kinds
    assert kinds["flip"].__module__.startswith("unlabeled.")
    lines = sorted(caplog.messages)
    assert len(lines) == 3
    assert lines[0].startswith("the op 'flip' of a_package_of_kinds can't be used: UserError: Twice and Flip are both")
    assert lines[1].startswith("the op 'gone' of a_package_of_kinds can't be used: AttributeError")
    assert lines[2] == "the op 'no-op' of a_package_of_kinds can't be used: a_package_of_kinds:Wide is no Op"


@pytest.mark.parametrize("group", KINDS)
def test_a_kind_of_a_package_is_had_by_its_name(group: str) -> None:
    family, name, cls = KINDS[group]
    fields = {"learning_rate": 0.1} if group == "optimizers" else {}
    value = family.model_validate({"name": name, **fields})
    assert type(value).__name__ == cls
    assert family.model_validate_json(value.canonical_json()) == value
    if group != "encoders":  # where any other name is timm's
        with pytest.raises(ValueError, match=f"did you mean '{name}'"):
            family.model_validate({"name": f"{name}x"})


def test_an_op_of_a_package_stands_in_a_policy() -> None:
    policy = Policy.model_validate({"ops": [{"name": "brought-invert", "strength": 0.25}]})
    (op,) = policy.ops
    assert torch.equal(op.apply(torch.ones(1, 1, 2, 2)), torch.full((1, 1, 2, 2), 0.75))
    assert policy.summary == "Invert"


def test_a_data_set_of_a_package_is_loaded_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert list(datasets()) == [*DATASETS, "brought-pictures"]
    assert caplog.messages == [
        "the data 'no' of a_package_of_kinds can't be used: a_package_of_kinds:Wide is no CatalogueEntry"
    ]
    data = load(DataConfig(name="brought-pictures"))
    assert data.checksum == load(DataConfig(name="emoji")).checksum
    assert datasets()["emoji"] is DATASETS["emoji"]
