"""What can't be drawn or measured of a run that was trained: a note on it, and the rest is there."""

import errno
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import KNN, FeatureProbe, Features, FineTune, KMeans, Linear, MethodProbe, Subject
from unlabeled.platform.evaluate.features import NotFiniteError
from unlabeled.platform.evaluate.health import alignment, deviation, rankme, uniformity
from unlabeled.platform.evaluate.probe import Score
from unlabeled.platform.method import Batch
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import build_method
from unlabeled.platform.train.events import EpochDone, Event, Finished
from unlabeled.platform.train.execution import execute
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.platform.train.notes import Notes
from unlabeled.platform.train.pictures import draw_map, places


class Broken(FeatureProbe):
    """Can be fitted, and then scores nothing of what is asked."""

    name = "broken"
    version = 1
    how: str = "raises"

    def learn(self, train: Features) -> Score:
        def score(test: Features) -> Mapping[str, float]:
            if self.how == "raises":
                raise RuntimeError("shapes\n   differ")
            return {"top1": 0.5, "spread": float(self.how)}

        return score


class BrokenOfMethod(MethodProbe):
    """Fails where the whole method is asked."""

    name = "broken-of-method"
    version = 1

    def measure(self, subject: Subject, splits: tuple[str, ...]) -> Mapping[str, Mapping[str, float]]:
        raise ValueError("nothing to ask")


def ended(run: RunConfig, data: Data, home: Path, processor: Processor) -> tuple[Finished, list[EpochDone]]:
    events: list[Event] = []
    execute(run, data, home, processor, events.append)
    assert isinstance(events[-1], Finished)
    return events[-1], [event for event in events if isinstance(event, EpochDone)]


def test_a_probe_that_fails_costs_its_own_numbers_only(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    probes = (Broken(), KNN(), BrokenOfMethod(), Broken(how="nan", labels=0.5), Broken(how="inf", labels=0.25))
    run = small_run.with_field("evaluation", EvaluationConfig(final=probes))
    evaluation = Evaluation(run, small_data, processor)
    found = evaluation.final(build_method(run, small_data, processor))
    assert set(found) == {
        *(f"{split}/{probe}/top1" for split in ("validation", "test") for probe in ("knn", "broken-50pct")),
        *(f"{split}/broken-25pct/top1" for split in ("validation", "test")),
    }, "what has no finite value is absent"
    assert list(evaluation.notes) == [
        "validation/broken was not measured: RuntimeError: shapes differ",
        "test/broken was not measured: RuntimeError: shapes differ",
        "validation/broken-of-method and test/broken-of-method were not measured: nothing to ask",
        "validation/broken-50pct/spread was not measured: its value is nan",
        "test/broken-50pct/spread was not measured: its value is nan",
        "validation/broken-25pct/spread was not measured: its value is inf",
        "test/broken-25pct/spread was not measured: its value is inf",
    ]


def test_a_run_whose_drawings_and_measurements_all_fail_is_finished_and_says_so(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object, **named: object) -> None:
        raise ValueError("on purpose")

    drawn, measured = "train.pictures.draw_", "train.readings.collect"
    for where in (f"{drawn}views_of", f"{drawn}tsne", measured, "evaluate.knn.KNN.learn"):
        monkeypatch.setattr(f"unlabeled.platform.{where}", fail)
    monkeypatch.setattr(SimCLR, "figures", fail)
    run = small_run.with_field("evaluation.tsne_images", 60)
    finished, epochs = ended(run, small_data, tmp_path, processor)
    assert {note.partition(": ")[0] for note in finished.notes} >= {
        "views were not drawn",
        "t-SNE was not drawn",
        "the method's pictures were not drawn",
        "features of test were not computed",
        "health was not measured in epoch 1",
        "health was not measured in epoch 2",
    }
    assert not any(name.startswith(("test/", "untrained/", "validation/")) for name in finished.metrics)
    assert "health/rankme" not in epochs[-1].metrics
    assert "train/loss" in epochs[-1].metrics
    assert (finished.files / "encoder" / "encoder.safetensors").is_file()


def test_one_figure_that_fails_leaves_the_others(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def figures(self: SimCLR, batch: Batch) -> Mapping[str, Figure]:
        images = batch.views[0]
        strange = {"one item": images[:1], "all": images}
        return {
            "a" * 999: Figure({"too long for a file": images}),
            "empty": Figure({}),
            "strange": Figure(strange),
            "fine": Figure({"shown": images * math.nan}),
        }

    monkeypatch.setattr(SimCLR, "figures", figures)
    finished, _ = ended(small_run, small_data, tmp_path, processor)
    assert [path.name for path in (finished.files / "pictures").iterdir()] == ["fine.png"]
    assert len(finished.notes) == 3
    assert any("columns show equally many items; got {'one item': (1, 1, 28, 28)" in note for note in finished.notes)


def test_notes_outlive_an_interruption(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopError(Exception):
        pass

    def stop(event: Event) -> None:
        if isinstance(event, EpochDone):
            raise StopError

    def fail(*given: object) -> float:
        raise ValueError("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr("unlabeled.platform.train.measuring.rankme", fail)
        with pytest.raises(StopError):
            execute(small_run, small_data, tmp_path, processor, stop)
    finished, _ = ended(small_run, small_data, tmp_path, processor)
    assert finished.notes == ("health was not measured in epoch 1: on purpose",)


@pytest.mark.parametrize(
    "fault",
    [
        MemoryError("no memory"),
        OSError(errno.ENOSPC, "no room"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["memory", "disk", "torch"],
)
def test_what_is_the_machines_fault_is_no_note_for_the_next_try_may_measure(fault: Exception) -> None:
    notes = Notes()
    with pytest.raises(type(fault)), notes.guard("it was not measured"):
        raise fault
    assert not notes


def test_a_mistake_is_refused_before_training_and_noted_after(
    small_run: RunConfig, small_data: Data, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> None:
        raise UserError("choose another data set")

    monkeypatch.setattr(KNN, "learn", refuse)
    evaluation = Evaluation(small_run, small_data, processor)
    method = build_method(small_run, small_data, processor)
    with pytest.raises(UserError, match="choose another"):
        evaluation.untrained(method)
    assert "test/linear/top1" in evaluation.final(method)
    assert list(evaluation.notes) == ["validation/knn and test/knn were not measured: choose another data set"]


@pytest.mark.parametrize("probe", [KNN(), Linear(), KMeans()], ids=lambda probe: probe.name)
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_no_probe_scores_features_that_are_not_finite(probe: FeatureProbe, wrong: float) -> None:
    labels = torch.arange(40) % 4
    sound = Features(torch.randn(40, 8), labels)
    spoiled = Features(sound.x.clone(), labels)
    spoiled.x[7, 3] = wrong
    for train, test in ((sound, spoiled), (spoiled, sound), (spoiled, spoiled)):
        with pytest.raises(NotFiniteError, match=r"not finite; lower optimizer\.learning_rate"):
            probe(train, test)


@pytest.mark.parametrize(
    "measure",
    [rankme, uniformity, deviation, lambda z: alignment(z, z)],
    ids=["rankme", "uniformity", "deviation", "alignment"],
)
def test_no_health_is_told_of_features_that_are_not_finite(measure: Callable[[Tensor], float]) -> None:
    z = torch.randn(20, 4)
    z[3, 1] = math.nan
    with pytest.raises(NotFiniteError):
        measure(z)


def test_a_run_whose_encoder_gives_nan_in_eval_mode_has_no_scores(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    run = small_run.with_field(
        "evaluation", EvaluationConfig(final=(KNN(), Linear(), KMeans(), FineTune(min_steps=0, epochs=1)))
    )
    method = build_method(run, small_data, processor)
    statistics = next(buffer for name, buffer in method.encoder.named_buffers() if name.endswith("running_var"))
    statistics.fill_(math.nan)
    evaluation = Evaluation(run, small_data, processor)
    assert not evaluation.follow(method, " in epoch 3")
    assert not {name: value for name, value in evaluation.final(method).items() if "fine-tune" not in name}
    notes = list(evaluation.notes)
    assert notes[0] == (
        "health was not measured in epoch 3: features are not finite; lower optimizer.learning_rate, or take "
        "precision=fp32"
    )


@pytest.mark.parametrize(
    "names",
    [
        ("$0_$10", "$10_$50"),
        ("_hidden", "_", "", " "),
        ("x^2", "\\frac{", "$$$"),
        ("\U0001f408", "日本", "עברית", "हिन्दी", "\u200b"),
        ("\udcff\udcfe", "two\nlines", "\x07"),
        ("long " * 900,) * 20,
        tuple(map(str, range(1000))),
    ],
    ids=["dollars", "underscores", "mathematics", "no glyphs", "not text", "long", "a thousand"],
)
def test_a_map_is_drawn_whatever_classes_are_called(names: tuple[str, ...], tmp_path: Path) -> None:
    labels = np.arange(max(12, len(names))) % len(names)
    draw_map(np.random.default_rng(0).normal(size=(len(labels), 2)), labels, names, tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as drawn:
        colors = drawn.convert("RGB").getcolors(maxcolors=1_000_000)
    assert colors is not None
    assert len(colors) > 10


def test_the_legend_shows_names_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    legends = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: legends.append(figure.axes[0].get_legend()))
    draw_map(np.zeros((4, 2)), np.arange(4), ("$0_$10", "_a", "x^2", "b"), tmp_path / "map.png")
    texts = legends[0].get_texts()
    assert [text.get_text() for text in texts] == ["$0_$10", "_a", "x^2", "b"]
    assert not any(text.get_parse_math() for text in texts)


@pytest.mark.parametrize(
    "x",
    [np.zeros((1, 8)), np.ones((2, 8)), np.ones((50, 8)), np.repeat(np.eye(8)[:2], 25, axis=0)],
    ids=["one", "two", "collapsed", "two kinds"],
)
def test_there_is_no_map_of_too_few_points(x: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a map needs three|nothing to map"):
        places(x.astype(np.float32), 0)


@pytest.mark.parametrize("scale", [1e-38, 1.0, 1e37])
@pytest.mark.parametrize("shape", [(3, 8), (4, 2), (40, 1)])
def test_points_are_placed_whatever_their_scale(shape: tuple[int, int], scale: float) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32) * np.float32(scale)
    assert np.isfinite(places(x, 2**63 - 1)).all()


@pytest.mark.parametrize("left", [1, 2, 3])
def test_a_run_with_hardly_a_test_picture_finishes(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path, left: int
) -> None:
    few = replace(
        small_data,
        test=small_data.test.take(torch.arange(left)),
        validation=small_data.validation.take(torch.arange(1)),
    )
    run = small_run.with_field("evaluation.tsne_images", 60).with_field("epochs", 1)
    finished, (epoch,) = ended(run, few, tmp_path, processor)
    assert "test/linear/top1" in finished.metrics
    assert (finished.files / "tsne.png").is_file() == (left == 3)
    assert any(note.startswith("t-SNE was not drawn: a map needs") for note in finished.notes) == (left < 3)
    assert "knn/top1" in epoch.metrics
    assert not {"health/uniformity", "health/deviation"} & set(epoch.metrics), "of one picture there is none"
