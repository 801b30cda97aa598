"""Measurements as values: a probe alone stands for one, products of them, their names, and what is refused."""

import pytest
import torch
from pydantic import ValidationError

from unlabeled.methods.supervised.classifier import SupervisedConfig
from unlabeled.platform.augment import PLAIN, SIMCLR_SMALL, Flip, Moment, Policy, View, ViewPlan, two_views
from unlabeled.platform.config import EvaluationConfig, RunConfig, plain
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import (
    KNN,
    Classifier,
    Detect,
    FineTune,
    Frames,
    Keypoints,
    KMeans,
    Linear,
    Measurement,
    ProbeConfig,
    Propagate,
    Segment,
    ZeroShot,
    every,
    extract,
    names,
)
from unlabeled.platform.metrics import FRACTION, Metric, metric_of
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.batches import items_of
from unlabeled.platform.train.built import build_method, check_built
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.platform.train.views import views_of

ALL = (KNN(), Linear(), KMeans(), FineTune(), ZeroShot(), Classifier(), Segment(), Detect(), Propagate(), Keypoints())
ALL = (*ALL, Frames())
EMOJI = DataConfig(name="emoji")


@pytest.mark.parametrize("probe", ALL, ids=lambda probe: probe.name)
def test_a_probe_alone_is_the_measurement_by_it(probe: ProbeConfig) -> None:
    alone = Measurement(probe=probe)
    assert EvaluationConfig(final=(probe,)).final == EvaluationConfig(final=probe).final == (alone,)  # type: ignore[arg-type]
    assert alone.canonical_json() == probe.canonical_json()
    assert alone.identity() == probe.identity()
    assert Measurement.model_validate_json(alone.canonical_json()) == alone
    by_name = EvaluationConfig.checked(final=probe.name)
    assert by_name.final == EvaluationConfig.checked(final=[{"probe": probe.name}]).final
    assert by_name.final == EvaluationConfig.checked(final=[type(probe)()]).final
    assert alone.told == probe.target
    assert alone.key == probe.key
    assert plain(alone) == plain(probe)
    for score in probe.scores:
        assert metric_of(f"test/{alone.key}/{score}") == probe.scores[score]
        assert probe.scores[score].direction == "higher"
        assert probe.scores[score].meaning


@pytest.mark.parametrize(
    ("path", "value"), [("layer", "head"), ("data", EMOJI), ("told", "rotation"), ("shown", "noise-3")]
)
def test_whatever_else_it_has_is_part_of_its_identity_and_name(path: str, value: object) -> None:
    plainly = Measurement(probe=KNN())
    other = plainly.with_field(path, value)
    assert other.digest() != plainly.digest()
    assert other.key != plainly.key
    assert other.key.endswith("/knn")
    assert other.protocol("test", "last epoch") != plainly.protocol("test", "last epoch")
    assert Measurement.model_validate_json(other.canonical_json()) == other
    assert plain(other).startswith("knn(")
    assert f"({path} " in plain(other)


def test_products_leave_out_what_a_probe_can_not_have() -> None:
    found = every((KNN(), FineTune()), layers=("", "block1"), told=("class", "rotation"), data=(None, EMOJI))
    assert [each.key for each in found] == [
        *("knn", "fine-tune", "rotation/knn", "block1/knn", "block1/rotation/knn"),
        *("emoji/knn", "emoji/fine-tune", "emoji/rotation/knn", "emoji/block1/knn", "emoji/block1/rotation/knn"),
    ]
    assert [each.told for each in every((Segment(), KNN(), Keypoints()))] == ["mask", "class", "points"]
    assert [each.key for each in every((Classifier(),), data=(None, EMOJI))] == ["classifier"]


def test_names_are_told_apart_where_the_same_is_read_and_only_there() -> None:
    few, many = KNN(neighbors=5), KNN(neighbors=50)
    listed = (Measurement(probe=few), Measurement(probe=many), Measurement(probe=many, layer="head"))
    assert list(names(listed).values()) == ["knn-neighbors-5", "knn-neighbors-50", "head/knn"]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"probe": FineTune(), "layer": "head"}, "fine-tune scores the whole encoder, so layer head would be ignored"),
        ({"probe": FineTune(), "told": "grey"}, "fine-tune can't be told grey, only what the data have"),
        ({"probe": ZeroShot(), "data": EMOJI}, "zero-shot asks what the method learned besides its encoder, which is"),
        ({"probe": Segment(), "told": "grey"}, "segment is told by mask, not by grey; leave it out"),
        ({"probe": KNN(), "data": DataConfig(name="emoji", image_px=32)}, "so its image_px 32 would be ignored"),
        ({"probe": {"name": "linaer"}}, "did you mean 'linear'"),
        ({"probe": Classifier(labels=1.0), "lyaer": "head"}, "lyaer"),
    ],
)
def test_what_would_be_ignored_is_refused_in_a_line(given: dict[str, object], line: str) -> None:
    with pytest.raises(ValidationError, match=line):
        Measurement.model_validate(given)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"probe": KNN(), "layer": "haed"}, r"no layer of simclr is called 'haed'; did you mean 'head'\?"),
        ({"probe": Segment(), "layer": "head"}, r"no layer with places of simclr is called 'head'"),
        ({"probe": KNN(), "told": "kind"}, r"evaluation.final: kind/knn needs a class 'kind', and fashion.* has none"),
        ({"probe": Segment()}, r"segment needs a mask 'mask', and fashion-mnist-12k has none; choose another data set"),
        ({"probe": KNN(), "told": "image"}, r"needs a class 'image'.*; tell it class$"),
        (
            {"probe": Propagate()},
            "propagate is measured on clips, and the encoder sees pictures; leave it out",
        ),
        ({"probe": Frames()}, "frames is measured on sounds, and the encoder sees pictures"),
        (
            {"probe": Classifier()},
            "classifier needs a method that classifies, such as supervised, and SimCLR has",
        ),
    ],
)
def test_what_can_not_be_measured_is_refused_before_anything_trains(
    given: dict[str, object], line: str, small_run: RunConfig, small_data: Data
) -> None:
    run = small_run.with_field("evaluation.final", (Measurement.model_validate(given),))
    with pytest.raises(UserError, match=line):
        check_built(run, small_data)


def test_the_classifier_is_the_methods_own(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    method = SupervisedConfig(views=ViewPlan(views=(SIMCLR_SMALL,)))
    run = small_run.with_field("method", method).with_field("evaluation.final", (Classifier(),))
    supervised = build_method(run, small_data, processor)
    found = Evaluation(run, small_data, processor).final(supervised)
    test = extract(supervised.encoder, small_data.test, processor)
    predicted = supervised.classifier(test.x).argmax(dim=1)
    assert found["test/classifier/top1"] == pytest.approx(float((predicted == test.labels).double().mean()))
    assert set(found) == {"validation/classifier/top1", "test/classifier/top1"}


def test_a_part_of_a_list_is_set_by_its_place(small_run: RunConfig) -> None:
    changed = small_run.with_field("evaluation.final.1.probe.l2", 0.5).with_field("evaluation.final.0.layer", "head")
    assert changed.evaluation.final == (Measurement(probe=KNN(), layer="head"), Measurement(probe=Linear(l2=0.5)))
    with pytest.raises(UserError, match=r"evaluation.final.1.probe.l2: .*greater than or equal to 0, got -1"):
        small_run.with_field("evaluation.final.1.probe.l2", -1)
    with pytest.raises(UserError, match=r"has no field '7.layer'"):
        small_run.with_field("evaluation.final.7.layer", "head")


def test_a_probe_of_another_package_says_what_its_scores_are() -> None:
    lost = Metric("lost", FRACTION, "lower", "What was lost.")

    class Loses(KNN):
        name = "loses"
        scores = {"lost": lost}  # noqa: RUF012

    assert metric_of("test/head/loses/lost").direction == "lower"
    assert metric_of("test/loses/lost").unit is FRACTION
    ProbeConfig.family.pop("loses")


def test_views_of_companions_and_moments_are_followed_by_their_places_and_rates(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    views = (View(policy=SIMCLR_SMALL), View(policy=PLAIN, of=1), View(policy=SIMCLR_SMALL))
    run = small_run.with_field("method.views", ViewPlan(views=views))
    evaluation = Evaluation(run, small_data, processor)
    encoder = build_method(small_run, small_data, processor).encoder
    first, companion = evaluation._views(encoder)
    index = small_data.validation.rows[: run.evaluation.follow_images]
    pixels = small_data.validation.tensor((index + 1) % len(small_data.validation), "image").float() / 255.0
    with torch.no_grad():
        torch.testing.assert_close(companion, encoder.eval()(pixels).float())
    plain = Evaluation(run.with_field("method.views", two_views(SIMCLR_SMALL)), small_data, processor)
    assert torch.equal(first, plain._views(encoder)[0]), "by its place"


def test_a_followed_moment_is_as_far_as_the_plan_says(processor: Processor) -> None:
    data = load(DataConfig(name="emoji-films", train_images=64))
    window = View(policy=Policy(ops=(Flip(p=0.0),)), field="clip", time=Moment(length=2))
    later = View(policy=PLAIN, field="clip", time=Moment(length=2, like=0, apart=1.0))
    plan = ViewPlan(views=(window, later))
    index = data.validation.rows[:32]
    items = items_of(plan, data.validation, index)
    clips = items["clip"].float() / 255.0
    first, second = views_of(plan, data.validation, index, (0,))
    by_hand = plan(items, Draws(index, 0), {"clip": 8.0})
    assert all(map(torch.equal, (first, second), by_hand))
    starts = [
        [next(t for t in range(15) if torch.equal(c[t : t + 2], v)) for c, v in zip(clips, made, strict=True)]
        for made in (first, second)
    ]
    assert all(abs(a - b) >= 8 for a, b in zip(*starts, strict=True)), "a second is eight frames"
