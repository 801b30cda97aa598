import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sources import classes_of
from torch import Tensor, nn

from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import (
    KNN,
    Features,
    FineTune,
    KMeans,
    Linear,
    Measurement,
    alignment,
    deviation,
    every,
    extract,
    rankme,
    uniformity,
)
from unlabeled.platform.evaluate.transformations import TRANSFORMATIONS
from unlabeled.platform.processor import Processor
from unlabeled.platform.testing.probes import blobs
from unlabeled.platform.train.built import build_method
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.platform.train.protocols import protocols


def test_knn_votes_like_scikit_learns_with_the_papers_weights() -> None:
    train, test = blobs(500, 4.0), blobs(300, 4.0, seed=1)
    oracle = KNeighborsClassifier(
        n_neighbors=15, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1.0 - distance) / 0.1)
    )
    oracle.fit(train.x.numpy(), train.labels.numpy())
    expected = oracle.score(test.x.numpy(), test.labels.numpy())
    assert KNN(neighbors=15, temperature=0.1)(train, test)["top1"] == pytest.approx(expected, abs=1 / 300)


def test_knn_with_fewer_pictures_than_neighbours() -> None:
    assert KNN(neighbors=50)(blobs(8, 0.1), blobs(8, 0.1, seed=1))["top1"] == 1.0


@pytest.mark.parametrize("l2", [0.1, 1e-3, 1e-5])
@pytest.mark.parametrize("spread", [0.1, 4.0])
def test_the_linear_probe_solves_the_problem_that_it_states(l2: float, spread: float) -> None:
    train, test = blobs(400, spread), blobs(300, spread, seed=1)
    mean, deviation = train.x.double().mean(dim=0), train.x.double().std(dim=0)
    x, asked = ((features.x.double() - mean) / deviation for features in (train, test))
    weight, bias, steepest = Linear(l2=l2, tolerance=1e-10).solve(x, train.labels)
    assert steepest <= 1e-10
    oracle = LogisticRegression(C=1.0 / (l2 * len(x)), tol=1e-12, max_iter=5000, solver="newton-cg")
    oracle.fit(x.numpy(), train.labels.numpy())
    # A gradient of 1e-10 is at most 1e-10 / l2 away from the optimum, an oracle's gradient of 1e-9 likewise.
    np.testing.assert_allclose(weight.numpy(), oracle.coef_, atol=1e-9 / l2)
    centred = bias - bias.mean()  # the softmax doesn't see a constant added to all biases
    np.testing.assert_allclose(centred.numpy(), oracle.intercept_ - oracle.intercept_.mean(), atol=1e-8 / l2)
    share = float(np.mean(oracle.predict(asked.numpy()) == test.labels.numpy()))
    assert Linear(l2=l2)(train, test) == {"top1": share, "converged": 1.0}


def test_the_linear_probes_optimum_has_no_gradient() -> None:
    train = blobs(200, 4.0)
    x = ((train.x - train.x.mean(dim=0)) / train.x.std(dim=0)).double()
    weight, bias, steepest = Linear().solve(x, train.labels)
    weight.requires_grad_()
    bias.requires_grad_()
    objective = nn.functional.cross_entropy(x @ weight.T + bias, train.labels) + 1e-3 / 2 * weight.square().sum()
    objective.backward()
    left = max(float(part.grad.abs().max()) for part in (weight, bias))
    assert left == pytest.approx(steepest, abs=1e-12)
    assert left <= Linear().tolerance <= 1e-8


def test_the_linear_probe_answers_the_same_whatever_the_order_of_pictures_and_the_rounding_of_features() -> None:
    """As another processor would: sums in another order, features that differ in their last bit."""
    train, test = blobs(600, 4.0, classes=7, dim=40), blobs(2000, 4.0, seed=1, classes=7, dim=40)
    order = torch.randperm(600, generator=torch.Generator().manual_seed(0))
    jitter = 1.0 + 1e-7 * torch.randn(train.x.shape, generator=torch.Generator().manual_seed(1))
    first = Linear()(train, test)["top1"]
    assert Linear()(train.take(order), test)["top1"] == first
    assert Linear()(Features(train.x * jitter, train.labels), test)["top1"] == pytest.approx(first, abs=0.0006)


@pytest.mark.parametrize("shape", [(30, 200), (200, 1), (5, 3)])
def test_the_linear_probe_converges_whatever_the_shape(shape: tuple[int, int]) -> None:
    """More dimensions than pictures, one dimension, dimensions that never change, classes without pictures."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    x[:, :1] *= 1e6
    if shape[1] > 2:
        x[:, 1], x[:, 2] = 3.0, x[:, 0]
    features = Features(x, torch.arange(shape[0]) % 3 * 2)
    assert Linear()(features, features)["converged"] == 1.0


def test_the_linear_probe_says_when_it_has_not_converged() -> None:
    train = blobs(400, 4.0)
    assert Linear()(train, train)["converged"] == 1.0
    assert Linear(max_iterations=1)(train, train)["converged"] == 0.0
    assert Linear(tolerance=1e-30, max_iterations=10)(train, train)["converged"] == 0.0


def test_the_linear_probe_ignores_how_features_are_scaled() -> None:
    train, test = blobs(300, 3.0), blobs(100, 3.0, seed=1)
    scaled = [Features(1000.0 * f.x - 5.0, f.labels) for f in (train, test)]
    assert Linear()(*scaled)["top1"] == Linear()(train, test)["top1"]


def pairs(z: Tensor) -> list[tuple[int, int]]:
    return [(i, j) for i in range(len(z)) for j in range(i)]


def test_health_against_its_definitions() -> None:
    z, w = torch.randn(30, 6), torch.randn(30, 6)
    unit, other = [(x / x.norm(dim=1, keepdim=True)).double() for x in (z, w)]
    potentials = [math.exp(-2.0 * float((unit[i] - unit[j]).square().sum())) for i, j in pairs(z)]
    assert uniformity(z) == pytest.approx(math.log(sum(potentials) / len(potentials)), rel=1e-5)
    assert alignment(z, w) == pytest.approx(float((unit - other).square().sum(dim=1).mean()), rel=1e-5)
    singular = np.linalg.svd(z.double().numpy(), compute_uv=False)
    p = singular / singular.sum()
    assert rankme(z) == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-4)
    assert deviation(z) == pytest.approx(float(unit.std(dim=0).mean()) * math.sqrt(6), rel=1e-5)


@pytest.mark.parametrize(
    ("measure", "collapsed", "even"),
    [(rankme, 1.0, 16.0), (uniformity, 0.0, -3.5), (deviation, 0.0, 1.0)],
)
def test_health_tells_a_collapse(measure: Callable[[Tensor], float], collapsed: float, even: float) -> None:
    generator = torch.Generator().manual_seed(0)
    assert measure(torch.ones(200, 16) * torch.rand(200, 1, generator=generator)) == pytest.approx(collapsed, abs=0.01)
    assert measure(torch.randn(4000, 16, generator=generator)) == pytest.approx(even, rel=0.05)


def test_features_are_clean_pictures_through_the_encoder_in_eval_mode(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    encoder = build_method(small_run, small_data, processor).encoder
    encoder.train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    features = extract(encoder, small_data.test, processor, max_items=70)
    assert encoder.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items()), (
        "probing must not train"
    )
    images = small_data.test.read(torch.arange(70), "image").float() / 255.0
    with torch.no_grad():
        expected = encoder.eval()(images)
    torch.testing.assert_close(features.x, expected)
    assert features.labels is not None
    assert torch.equal(features.labels, classes_of(small_data.test)[:70])


def test_every_metric_has_its_protocol_and_test_is_measured_once_at_the_end(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    tuned = FineTune(labels=0.5, epochs=1, min_steps=0)
    final_probes = (KNN(), Linear(labels=0.5), KMeans(num_starts=1), tuned)
    final_measurements = every(final_probes, layers=("", "head"), told=("class", "rotation"))
    small_run = small_run.with_field("evaluation", EvaluationConfig(follow_images=100, final=final_measurements))
    evaluation = Evaluation(small_run, small_data, processor)
    method = build_method(small_run, small_data, processor)
    encoder = method.encoder
    followed, final, untrained = evaluation.follow(method), evaluation.final(method), evaluation.untrained(method)
    assert not any(name.startswith("test/") for name in followed)
    found = {name for name in {*followed, *final, *untrained} if name.endswith(("/top1", "/nmi", "/ari"))}
    assert found == {name for name in protocols(small_run.evaluation, small_data) if not name.startswith("system/")}
    assert {name.removeprefix("untrained/"): value for name, value in untrained.items()} == {
        name.removeprefix("test/"): value for name, value in final.items() if name.startswith("test/")
    }, "this encoder is the untrained one"
    assert encoder.training
    readings = {"", "rotation/", "head/", "head/rotation/"}
    of_knn = {name for name in final if name.startswith("test/") and name.endswith("knn/top1")}
    assert of_knn == {f"test/{reading}knn/top1" for reading in readings}
    assert [name for name in final if "fine-tune" in name] == [
        "validation/fine-tune-50pct/top1",
        "test/fine-tune-50pct/top1",
    ], "once for each split, whatever else is read"


def test_a_probe_of_a_layer_reads_that_layer(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    run = small_run.with_field("evaluation", EvaluationConfig(final=Measurement(probe=KNN(), layer="head")))
    method = build_method(run, small_data, processor).eval()
    for split in ("validation", "test"):
        bank, asked = (
            Features(method.head(features.x).detach(), features.labels)
            for features in (extract(method.encoder, getattr(small_data, s), processor) for s in ("train", split))
        )
        found = Evaluation(run, small_data, processor).final(method)
        assert found[f"{split}/head/knn/top1"] == KNN()(bank, asked)["top1"]


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_transformed_pictures_come_in_every_way_and_are_told_by_it(name: str, processor: Processor) -> None:
    data = load(DataConfig(name="emoji"))
    transformation = TRANSFORMATIONS[name]
    rows = torch.arange(200)
    images = data.train.read(rows, "image").float() / 255.0
    changed, ways = transformation(images.clone(), rows)
    assert set(ways.tolist()) == set(range(transformation.ways))
    assert (ways.bincount() > 100 / transformation.ways).all(), "about equally often"
    for image, after, way in zip(images, changed, ways.tolist(), strict=True):
        if name == "rotation":
            assert torch.equal(after, image.rot90(way, dims=(1, 2)))
        else:
            assert way == 1 or torch.equal(after, image)
            assert way == 0 or not torch.equal(after, image) or image.std(dim=0).max() < 1e-6, "unless it was grey"
    again, same = transformation(images[50:60].clone(), rows[50:60])
    assert torch.equal(same, ways[50:60]), "a row decides, not its place"
    torch.testing.assert_close(again, changed[50:60])
    seen = extract(nn.Flatten(), data.train, processor, 200, change=transformation)
    assert seen.labels is not None
    assert torch.equal(seen.labels, transformation(images, rows)[1])


def test_a_layer_that_the_method_lacks_is_named(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    run = small_run.with_field("evaluation.final", ({"probe": {"name": "knn"}, "layer": "haed"},))
    with pytest.raises(UserError, match=r"no layer of simclr is called 'haed'; did you mean 'head'\?"):
        Training(run, small_data, processor)


def test_the_last_epoch_is_always_followed(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    run = small_run.with_field("epochs", 7).with_field("evaluation", EvaluationConfig(every_epochs=3))
    evaluation = Evaluation(run, small_data, processor)
    assert [epoch for epoch in range(1, 8) if evaluation.due(epoch)] == [3, 6, 7]
