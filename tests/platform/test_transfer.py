"""Probes on further data sets: pictures as the encoder takes them, and metrics with names and protocols."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from PIL import Image
from sources import classes_of, images_of

from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import Data, DataConfig, load, with_channels
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import (
    KNN,
    Features,
    FineTune,
    KMeans,
    Measurement,
    MethodProbe,
    ProbeConfig,
    Subject,
    every,
    extract,
    name_of,
)
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import build_method, check_built
from unlabeled.platform.train.execution import execute
from unlabeled.platform.train.loaded import load_other
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.platform.train.protocols import protocols

EMOJI = DataConfig(name="emoji", train_images=200)
ROWS = torch.arange(50)


class AsksMethod(MethodProbe):
    """A probe that needs what the method learned besides its encoder."""

    name = "asks-method"
    version = 1
    asks_method = True

    def measure(self, subject: Subject, splits: tuple[str, ...]) -> dict[str, dict[str, float]]:
        """Return chance."""
        return {split: {"top1": 1.0 / len(subject.data.classes)} for split in splits}


def transferring(
    run: RunConfig, *final: ProbeConfig, more: tuple[Measurement, ...] = (), **fields: object
) -> RunConfig:
    """Return the run with the emoji as a further data set."""
    measurements = every(final, data=(None, EMOJI)) + more
    return run.with_field("evaluation", EvaluationConfig(final=measurements, tsne_images=0, **fields))  # type: ignore[arg-type]


def test_colour_becomes_its_luminance_at_the_runs_size(small_run: RunConfig, small_data: Data) -> None:
    (seen,) = load_other(transferring(small_run, KNN()), small_data).values()
    assert (seen.channels, seen.image_px, len(seen.classes), seen.name) == (1, 28, 9, "emoji")
    colour = load(EMOJI).test.read(ROWS, "image")
    resized = tv.resize(colour.double(), [28, 28], antialias=True)
    expected = tv.rgb_to_grayscale(resized, num_output_channels=1)
    found = seen.test.read(ROWS, "image")
    assert (found.dtype, found.shape) == (torch.uint8, (50, 1, 28, 28))
    torch.testing.assert_close(found.double(), expected, atol=1.51, rtol=0.0)  # rows, columns and grey are rounded
    assert torch.equal(seen.test.take(torch.tensor([7, 3])).read(torch.tensor([1]), "image"), found[[3]])
    assert next(seen.test.sample("image")).shape[1] == 1


def test_grey_becomes_three_equal_channels(small_data: Data) -> None:
    grey = load(DataConfig(name="fashion-mnist-12k", train_images=256, image_px=32))
    seen = with_channels(grey, 3)
    expected = tv.grayscale_to_rgb(tv.resize(small_data.test.read(ROWS, "image").double(), [32, 32], antialias=True))
    found = seen.test.read(ROWS, "image")
    assert torch.equal(found, found[:, :1].expand(-1, 3, -1, -1))
    torch.testing.assert_close(found.double(), expected, atol=1.01, rtol=0.0)  # rows and columns are rounded
    assert (seen.channels, seen.image_px) == (3, 32)


def test_pictures_that_fit_already_are_not_touched(small_data: Data) -> None:
    assert torch.equal(with_channels(small_data, 1).test.read(ROWS, "image"), small_data.test.read(ROWS, "image"))


def test_probes_are_fitted_and_scored_on_the_other_sets_own_splits(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    run = transferring(small_run, KNN(), more=every((KNN(),), layers=("", "head"), told=("rotation",)))
    transfer = load_other(run, small_data)
    method = build_method(run, small_data, processor)
    found = Evaluation(run, small_data, processor, transfer).final(method)
    emoji = load(DataConfig(name="emoji", train_images=200, image_px=28))

    def features(split: str) -> Features:
        pictures = getattr(emoji, split)
        x = images_of(pictures).float()
        x = tv.rgb_to_grayscale(x).round() / 255.0
        with torch.no_grad():
            return Features(method.encoder.eval()(x), classes_of(pictures))  # by the run's own statistics

    assert len(emoji.train) == 200
    for split in ("validation", "test"):
        torch.testing.assert_close(
            extract(method.encoder, getattr(transfer[EMOJI], split), processor).x,
            features(split).x,
            atol=1e-4,
            rtol=1e-4,
        )
        assert found[f"{split}/emoji/knn/top1"] == pytest.approx(KNN()(features("train"), features(split))["top1"])


def test_every_metric_has_a_protocol_of_its_own_kind_and_the_other_set_is_only_asked_for_its_classes(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    tuned = FineTune(labels=0.5, epochs=1, min_steps=0)
    final = (KNN(), KMeans(num_starts=1), tuned, AsksMethod())
    run = transferring(small_run, *final, more=every((KNN(),), layers=("head",)), follow_images=100)
    evaluation = Evaluation(run, small_data, processor, load_other(run, small_data))
    method = build_method(run, small_data, processor)
    found = {*evaluation.follow(method), *evaluation.final(method), *evaluation.untrained(method)}
    found = {name for name in found if not name.startswith("health/")}
    how = protocols(run.evaluation, small_data)
    assert found == {name for name in how if not name.startswith("system/")}
    of_emoji = {name.removeprefix("test/emoji/") for name in found if name.startswith("test/emoji/")}
    assert of_emoji == {"knn/top1", "kmeans/top1", "kmeans/nmi", "kmeans/ari", "fine-tune-50pct/top1"}
    for name, protocol in how.items():
        assert ("emoji (train_images 200)" in protocol) == ("/emoji/" in name)
    emoji, own = how["test/emoji/knn/top1"], how["test/knn/top1"]
    assert emoji.endswith("on test of emoji (train_images 200), encoder features, last epoch")
    assert own.endswith("on test, encoder features, last epoch")
    assert how["untrained/emoji/knn/top1"].endswith("encoder features, before training")


def test_a_run_reports_what_it_measures_on_another_set(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path
) -> None:
    told: list[object] = []
    run = transferring(small_run.with_field("epochs", 1), KNN(), follow=())
    execute(run, small_data, tmp_path, processor, told.append)
    metrics = told[-1].metrics  # type: ignore[attr-defined]
    assert {"test/emoji/knn/top1", "validation/emoji/knn/top1", "untrained/emoji/knn/top1"} <= set(metrics)
    assert RunConfig.model_validate_json(run.canonical_json()) == run
    other = run.with_field("evaluation.final", (KNN(),))
    execute(other, small_data, tmp_path, processor, told.append)
    assert len(list((tmp_path / "work" / "untrained").glob("*.json"))) == 2, "what is measured is part of the name"


def test_a_set_without_labels_is_refused_in_a_line(small_run: RunConfig, small_data: Data, tmp_path: Path) -> None:
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    run = small_run.with_field("evaluation.final", ({"probe": KNN(), "data": {"name": f"folder:{tmp_path}"}},))
    with pytest.raises(UserError, match=r"evaluation.final: .*/knn needs labels, and folder:.* has none; choose anoth"):
        check_built(run, small_data, other=load_other(run, small_data))


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("cifar100", "cifar100"),
        ("folder:/data/my flowers (old)/", "folder-my-flowers-old"),
        ("folder:birds", "folder-birds"),
        ("folder:/", "folder"),
    ],
)
def test_names_in_metrics_are_safe(name: str, short: str) -> None:
    assert name_of(DataConfig(name=name)) == short


def test_sets_that_metrics_could_not_tell_apart_and_settings_that_would_be_ignored_are_refused(
    small_run: RunConfig,
) -> None:
    first, second = (DataConfig(name=f"folder:/{place}/birds") for place in "ab")
    both = every((KNN(),), data=(first,)) + every((KMeans(),), data=(second,))
    with pytest.raises(UserError, match=r"names in metrics must differ, and are folder-birds, folder-birds; leave one"):
        small_run.with_field("evaluation.final", both)
    with pytest.raises(UserError, match=r"emoji is brought to the run's size, so its image_px 32 would be ignored"):
        small_run.with_field("evaluation.final", ({"probe": KNN(), "data": {"name": "emoji", "image_px": 32}},))
