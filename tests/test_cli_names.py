"""What is declared is said without what trains, is what the declarations say, and is read anew when they change."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from unlabeled.methods import METHODS
from unlabeled.platform import cli
from unlabeled.platform.cli import gathered, index, spots
from unlabeled.platform.cli.described import described
from unlabeled.platform.cli.gathered import gather
from unlabeled.platform.config import RunConfig
from unlabeled.platform.settings import Settings, Variant
from unlabeled.studies import STUDIES

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "ray", "mlflow", "pandas", "numpy", "scipy", "optuna", "timm"}


@pytest.fixture(scope="module")
def known() -> dict[str, object]:
    return dict(json.loads(json.dumps(gather())))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["unlabeled", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert not left.value.code
    return capsys.readouterr().out


def test_names_are_said_without_what_trains(known: dict[str, object], cache: Path, tmp_path: Path) -> None:
    index.remembered("declared", lambda: known)
    index.remembered("shows projection-head laptop", lambda: ["so much"])
    commands = ["study list", "study show projection-head", "search list", "search show simclr-laptop", "data list"]
    commands += ["methods", "methods simclr", "fields", "fields optimizer", "run --help", "--version"]
    code = f"""
import contextlib, sys
from unlabeled.platform.cli import main
for command in {commands}:
    sys.argv = ["unlabeled", *command.split()]
    with contextlib.suppress(SystemExit):
        main()
sys.argv = ["unlabeled", "study", "run", "projection-haed"]
try:
    main()
except SystemExit as left:
    assert left.code == 2
print(sorted({HEAVY} & set(sys.modules)))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "UNLABELED_HOME": str(tmp_path / "none")}
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert out.stdout.splitlines()[-1] == "[]"
    assert "so much" in out.stdout
    assert out.stderr.startswith("unlabeled: no study is called 'projection-haed'; did you mean 'projection-head'?")


def test_what_is_kept_is_made_anew_when_a_source_changes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    assert (index.remembered("x", make), index.remembered("x", make)) == (1, 1)
    assert index.peek() is None
    source = cache / "source.py"
    source.write_text("a")
    real = index._sources
    monkeypatch.setattr(index, "_sources", lambda folder: [*real(folder), source])
    assert (index.remembered("x", make), index.remembered("x", make)) == (2, 2)
    source.write_text("ab")
    assert index.remembered("x", make) == 3
    assert index.remembered("y", lambda: source.write_text("while it is made")) == 16
    assert index.remembered("y", lambda: 0) == 0
    (place,) = (cache / "unlabeled").iterdir()
    place.write_text("[]")  # whatever lies there
    assert index.remembered("x", make) == 4


def test_what_packages_bring_is_read_anew_when_they_change(cache: Path) -> None:
    brought = cache / "brought.py"
    brought.write_text("a")
    for number, text in enumerate(("a", "ab", "ab")):
        brought.write_text(text) if brought.read_text() != text else None
        found = index.remembered("declared", lambda number=number: {"others": [str(brought)], "number": number})
        assert found["number"] == min(number, 1)


def test_what_a_package_can_not_bring_is_looked_for_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(cache))
    point = EntryPoint("broken", "brought_later:Config", "unlabeled.methods")
    monkeypatch.setattr(gathered, "distributions", lambda: [SimpleNamespace(entry_points=[point])])
    for kept in (False, True):
        others = gathered._others()
        assert (others is not None) is kept
        index.remembered("declared", lambda others=others: {"others": others})
        assert (index.peek() is not None) is kept
        (cache / "brought_later.py").write_text("class Config:\n    pass\n")
        importlib.invalidate_caches()
    assert others == [str(cache / "brought_later.py")]


def test_a_package_may_call_its_settings_like_ours() -> None:
    class Inner(Settings):
        mine: int = 1

    class Outer(Settings):
        own: Inner = Inner()
        ours: RunConfig | None = None

    Inner.__name__ = Inner.__qualname__ = "RunConfig"
    found = described(Outer)
    assert list(found[f"{__name__}.RunConfig"]["fields"]) == ["mine"]
    assert "epochs" in found["RunConfig"]["fields"]


def test_a_cache_that_can_not_be_written_is_done_without(cache: Path) -> None:
    (cache / "unlabeled").write_text("a file")
    assert index.remembered("x", lambda: 1) == 1


def test_names_are_kept_of_few_places(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(index._MOST + 3):
        monkeypatch.setattr(index.unlabeled, "__file__", f"/elsewhere/{number}/__init__.py")
        index.remembered("x", lambda number=number: number)
        os.utime(index._place() or "", ns=(number, number))
    left = sorted(json.loads(place.read_text())["kept"]["x"] for place in (cache / "unlabeled").iterdir())
    assert left == list(range(3, index._MOST + 3))


def kinds_along(value: object, path: str) -> Iterator[str]:
    """Yield the names of the kinds that a path goes through: of a method, of its loss."""
    for part in path.split(".")[:-1]:
        value = getattr(value, part)
        if isinstance(value, Variant):
            yield value.name


def test_every_field_of_a_run_is_described_and_found(known: dict[str, dict[str, object]]) -> None:
    settings = known["settings"]
    for name, config in METHODS.items():
        example = RunConfig(method=config.example().method)
        for path in example.flat():
            found = list(spots.at(settings, path))
            assert found, path
            if path.startswith("method.") and path != "method.name":
                kinds = {"", name, *kinds_along(example, path)}
                assert any(spot.kind in kinds for spot in found), (name, path)
    of_run = settings["RunConfig"]["fields"]  # type: ignore[index]
    assert set(of_run) == set(RunConfig.model_fields)
    assert of_run["epochs"] == {
        **{"type": "whole number", "rule": "at least 1", "default": "10", "holds": None, "many": False},
        "doc": "passes over the pretraining pictures; each pass drops the last, incomplete batch.",
    }
    every = [field for of in settings.values() for field in of.get("fields", {}).values()]  # type: ignore[attr-defined]
    assert all(field["doc"] and field["type"] for field in every)
    jitter = settings["ColorJitter"]["fields"]["hue"]  # type: ignore[index]
    assert (jitter["rule"], jitter["doc"][:17]) == ("at least 0, at most 0.5", "Change brightness")


def test_a_field_is_named_with_its_kinds_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = said(capsys, monkeypatch, "fields", "optimizer.learning_rate")
    assert "number, above 0; default 0.03 (sgd), 0.002 (adamw), 0.3 (lars)" in out
    out = said(capsys, monkeypatch, "fields", "evaluation.follow.0.probe.neighbors")
    assert "knn: whole number, at least 1; default 20" in out
    (field,) = json.loads(said(capsys, monkeypatch, "fields", "data.image_px", "--json"))
    assert (field["path"], field["rule"], field["default"]) == ("data.image_px", "at least 1", "null")


def test_lists_are_said_for_programs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cache: Path, known: dict[str, object]
) -> None:
    index.remembered("declared", lambda: known)
    index.remembered("shows projection-head laptop", lambda: ["so much"])
    monkeypatch.setenv("UNLABELED_HOME", str(cache / "none"))
    assert [one["name"] for one in json.loads(said(capsys, monkeypatch, "study", "list", "--json"))] == list(STUDIES)
    simclr = json.loads(said(capsys, monkeypatch, "methods", "simclr", "--json"))
    assert {field["path"]: field["default"] for field in simclr["fields"]}["method.temperature"] == "0.1"
    shown = json.loads(said(capsys, monkeypatch, "study", "show", "projection-head", "--json"))
    assert list(shown["profiles"]["laptop"]["rows"]) == ["none", "linear", "non-linear"]
    searches = importlib.import_module("unlabeled.studies.searches").SEARCHES
    for name in searches:
        assert json.loads(said(capsys, monkeypatch, "search", "show", name, "--json"))["space"]
    assert json.loads(said(capsys, monkeypatch, "data", "list", "--json"))[0]["name"] == "fashion-mnist-12k"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("study run projection-h", ["projection-head"]),
        ("study run projection-head --profile l", ["laptop"]),
        ("search show simclr-", ["simclr-laptop"]),
        ("run moc", [name for name in METHODS if name.startswith("moc")]),
        ("run simclr --set optimizer.learn", ["optimizer.learning_rate="]),
        ("run simclr --set method.m", ["method.mining=", "method.margin="]),
        ("run simclr --set enc", ["encoder."]),
        ("run simclr --set encoder.na", ["encoder.name="]),
        ("run simclr --set encoder.name=conv", ["encoder.name=convnet"]),
        ("run simclr --set method.loss=nt-l", ["method.loss=nt-logistic"]),
        ("run metric-learning --set method.loss.name=lif", ["method.loss.name=lifted-structured"]),
        ("run simclr --set data.name=emoji-f", ["data.name=emoji-films"]),
        ("run simclr --set nothing.x", []),
        ("augment --policy simclr-", ["simclr-small"]),
        ("data show fashion-mnist-", ["fashion-mnist-12k"]),
        ("fields data.im", ["data.image_px"]),
        ("methods simc", [name for name in METHODS if name.startswith("simc")]),
        ("report run", ["runs"]),
    ],
)
def test_a_shell_completes_names_and_fields(
    typed: str, offered: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_UNLABELED_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"unlabeled {typed}")
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split())))
    assert said(capsys, monkeypatch).split() == offered
