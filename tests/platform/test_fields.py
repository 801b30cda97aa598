"""Measuring encoders of pictures, clips and sounds, told by any field: against each item encoded by itself."""

import pytest
import torch
from grids import clips, data_of, scenes, sounds

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.augment import Policy, View, ViewPlan
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig
from unlabeled.platform.encoder.sound import WaveConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import (
    KNN,
    Corruption,
    FineTune,
    Frames,
    Keypoints,
    Linear,
    Measurement,
    Propagate,
    Segment,
    every,
    extract,
)
from unlabeled.platform.evaluate.layers import grids
from unlabeled.platform.evaluate.probe import share_of_labels
from unlabeled.platform.evaluate.transformations import TRANSFORMATIONS
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import build_method
from unlabeled.platform.train.measurable import check_measurements
from unlabeled.platform.train.measuring import Evaluation

WAVE = WaveConfig(width=8, kernels=(10, 8), strides=(5, 4))


def run_on(field: str, encoder: EncoderConfig, *final: object) -> RunConfig:
    """Return a run whose encoder sees a field."""
    plan = ViewPlan(views=(View(policy=Policy(), field=field),) * 2)
    evaluation = EvaluationConfig(final=final, tsne_images=0, splits=("test",))  # type: ignore[arg-type]
    method = SimCLRConfig(views=plan, head=(16, 8))
    return RunConfig(method=method, encoder=encoder, batch_size=8, precision="fp32", evaluation=evaluation)


@pytest.fixture
def films() -> Data:
    return data_of(clips())


def test_a_clips_features_are_the_mean_of_its_frames(films: Data, processor: Processor) -> None:
    run = run_on("clip", ConvNetConfig(width=4))
    method = build_method(run, films, processor)
    encoder = method.encoder.eval()
    found = extract(encoder, films.test, processor, field="clip")
    places = extract(grids(method)[""], films.test, processor, field="clip", told="mask")
    for row in range(len(films.test)):
        frames = films.test.tensor(torch.tensor([row]), "clip")[0].float() / 255.0
        with torch.no_grad():
            pooled = torch.stack([encoder(frame[None])[0] for frame in frames])
            grid = torch.stack([encoder.maps(frame[None]).grid[0] for frame in frames])
        torch.testing.assert_close(found.x[row], pooled.mean(dim=0), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(places.x[row], grid, atol=1e-5, rtol=1e-4)
    assert places.labels is not None
    assert places.labels.shape == (len(films.test), 3, 24, 24)
    assert places.size == (24, 24)


def test_all_frames_of_a_clip_change_alike(films: Data) -> None:
    rows = torch.tensor([2, 0])
    frames = films.test.tensor(rows, "clip").float() / 255.0
    changed, ways = TRANSFORMATIONS["rotation"](frames, rows)
    for clip, after, way in zip(frames, changed, ways.tolist(), strict=True):
        assert torch.equal(after, clip.rot90(way, dims=(2, 3)))
    noise = Corruption(kind="noise", severity=2)
    same = frames[:, :1].expand(-1, 3, -1, -1, -1).flatten(0, 1)
    seen = noise(same, rows.repeat_interleave(3)).unflatten(0, (2, 3))
    assert torch.equal(seen[:, 0], seen[:, 2])


def test_a_run_on_clips_is_measured_by_what_lies_in_its_frames(films: Data, processor: Processor) -> None:
    probes = (KNN(), Propagate(), Keypoints(), Segment(epochs=1, min_steps=5))
    corrupted = Measurement(probe=KNN(), shown=Corruption(kind="blur", severity=1))
    run = run_on("clip", ConvNetConfig(width=4), *probes, corrupted)
    method = build_method(run, films, processor)
    check_measurements(method, run, films)
    evaluation = Evaluation(run, films, processor)
    found = evaluation.untrained(method)
    assert not list(evaluation.notes)
    scores = ("knn/top1", "propagate/jaccard", "propagate/boundary", "keypoints/pck", "segment/miou", "blur-1/knn/top1")
    assert {f"untrained/{score}" for score in scores} <= found.keys()
    assert all(0.0 <= value <= 1.0 for value in found.values())


def test_a_run_on_sounds_is_measured_frame_by_frame(processor: Processor) -> None:
    data = data_of(sounds())
    run = run_on("wave", WAVE, KNN(), Linear(), Frames())
    method = build_method(run, data, processor)
    check_measurements(method, run, data)
    evaluation = Evaluation(run, data, processor)
    found = evaluation.untrained(method)
    assert not list(evaluation.notes)
    assert found["untrained/linear/top1"] == 1.0
    assert found["untrained/frames/top1"] > 0.8
    places = extract(grids(method)[""], data.test, processor, field="wave")
    with torch.no_grad():
        expected = method.encoder.maps(data.test.tensor(data.test.rows, "wave")).grid
    torch.testing.assert_close(places.x, expected)
    assert places.size == (480,)


@pytest.mark.parametrize(
    ("measurement", "line"),
    [
        (
            {"probe": KNN(), "told": "rotation"},
            "rotation/knn tells changes of pictures, and the encoder sees sounds",
        ),
        (
            {"probe": KNN(), "shown": "noise-1"},
            "noise-1/knn corrupts pictures, and the encoder sees sounds",
        ),
        ({"probe": FineTune()}, "fine-tune is measured on pictures or clips, and the encoder sees sounds"),
        ({"probe": Segment()}, "segment is measured on pictures or clips, and the encoder sees sounds"),
    ],
)
def test_what_is_of_pictures_is_refused_of_sounds(
    measurement: dict[str, object], line: str, processor: Processor
) -> None:
    data, run = data_of(sounds()), run_on("wave", WAVE, Measurement.model_validate(measurement))
    method = build_method(run, data, processor)
    with pytest.raises(UserError, match=line):
        check_measurements(method, run, data)


def test_any_class_of_the_data_can_be_told(processor: Processor) -> None:
    data = data_of(scenes())
    tuned = FineTune(epochs=1, min_steps=5)
    run = run_on("image", ConvNetConfig(width=4), *every((Linear(), tuned), told=("class", "brightness")))
    method = build_method(run, data, processor)
    evaluation = Evaluation(run, data, processor)
    found = evaluation.final(method)
    assert not list(evaluation.notes)
    read = [extract(method.encoder, part, processor, told="brightness") for part in (data.train, data.test)]
    assert found["test/brightness/linear/top1"] == Linear()(*read)["top1"] != found["test/linear/top1"]
    assert "test/brightness/fine-tune/top1" in found
    how = run.evaluation.final[2].protocol("test", "last epoch")
    assert how.endswith("on test, encoder features told by brightness, last epoch")


def test_a_share_of_what_has_no_class_is_the_first_of_it() -> None:
    assert share_of_labels(torch.zeros(10, 4, 4), 0.25).tolist() == [0, 1, 2]
    draws = Draws(torch.arange(6), "labels")
    assert share_of_labels(draws.integers("labels", 2), 1.0).tolist() == list(range(6))
