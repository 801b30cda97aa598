"""Names of metrics: each measurement and each log has one of its own, and a tracking store takes it."""

from collections.abc import Mapping

import pytest
import torch
from mlflow.utils.validation import _validate_metric_name, _validate_tag_name
from pydantic import ValidationError

from unlabeled.methods.contrastive.simclr import SimCLR
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.evaluate import KNN, FineTune, KMeans, Linear, Measurement, ProbeConfig, ZeroShot, every
from unlabeled.platform.evaluate.probe import keys
from unlabeled.platform.method import Batch, StepResult
from unlabeled.platform.metrics import unit_of
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import build_method
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.platform.train.metric_names import of_logs
from unlabeled.platform.train.protocols import protocols

SEVERAL: list[tuple[ProbeConfig, ...]] = [
    (KNN(), KNN(neighbors=5), KNN(neighbors=200), KNN(neighbors=5, temperature=0.1)),
    (Linear(), Linear(l2=0.01), Linear(l2=1e-7), Linear(labels=0.1), Linear(labels=0.1, l2=0.01)),
    (KMeans(), KMeans(num_clusters=5), KMeans(num_starts=1)),
    (FineTune(epochs=1), FineTune(epochs=1, batch_size=8), FineTune(epochs=2).with_field("optimizer.name", "sgd")),
    (ZeroShot(), ZeroShot(templates=("a {}", "the {}")), ZeroShot(templates=("one {}", "two {}"))),
]


@pytest.mark.parametrize("probes", SEVERAL, ids=lambda probes: probes[0].name)
def test_probes_of_one_kind_have_a_name_each_and_their_own_where_they_are_alone(
    probes: tuple[ProbeConfig, ...],
) -> None:
    found = keys(probes)
    assert len(set(found.values())) == len(probes)
    for name in found.values():
        _validate_metric_name(f"test/{name}/top1")
        assert unit_of(f"test/{name}/top1").is_fraction
    assert keys(tuple(reversed(probes))) == found, "their order decides nothing"
    for probe in probes:
        assert keys((probe,)) == {probe: probe.key}


def test_two_values_of_k_are_both_measured(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    probes = (KNN(neighbors=5), KNN(neighbors=200), KNN())
    run = small_run.with_field("evaluation", EvaluationConfig(final=probes))
    evaluation = Evaluation(run, small_data, processor)
    found = evaluation.final(build_method(run, small_data, processor))
    expected = {"knn": 20, "knn-neighbors-5": 5, "knn-neighbors-200": 200}
    assert {name for name in found if name.startswith("test/")} == {f"test/{key}/top1" for key in expected}
    how = protocols(run.evaluation, small_data)
    assert set(found) <= set(how)
    for key, neighbors in expected.items():
        assert f"neighbors {neighbors}," in how[f"test/{key}/top1"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"final": (KNN(), KNN(neighbors=20))}, r"knn@1 \(neighbors 20, temperature 0.07\) is listed twice"),
        ({"final": every((KNN(),), layers=("head", "head"))}, r"knn@1 \(.*\) is listed twice"),
        ({"follow": every((KNN(),), told=("grey", "grey"))}, r"knn@1 \(.*\) is listed twice"),
        ({"final": (Measurement(probe=KNN(), layer="grey"), Measurement(probe=KNN(), told="grey"))}, "called grey/knn"),
        (
            {"final": (Measurement(probe=KNN(), layer="emoji"), *every((KNN(),), data=(DataConfig(name="emoji"),)))},
            "two measurements would be called emoji/knn; leave one out",
        ),
        ({"follow": Measurement(probe=KNN(), layer="health")}, "called health/knn, and health is taken"),
        ({"follow": FineTune()}, "fine-tune scores a whole method, which takes too long to follow"),
        ({"follow": every((KNN(),), data=(DataConfig(name="emoji"),))}, "emoji/knn is not of clean validation"),
        ({"final": Measurement(probe=KNN(), layer="head")} | {"splits": ("test", "test")}, "splits must differ"),
        ({"splits": ("test", "test")}, "splits must differ, got test, test"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, Mapping) else "",
)
def test_two_measurements_of_one_name_are_refused_when_declared(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EvaluationConfig(**fields)  # type: ignore[arg-type]


ODD = (
    *("pretext/acc@1", "pretext/acc_1", "pretext/ACC_1", "pretext/acc#1", "größe/genau", "a//b", "a/b\n", "a/\udcff"),
    *("loss", "", "../up", "x:y/z", "test/top1", "train/loss", "HEALTH/rankme", "knn/top1"),
    *("long/" + "n" * 999, "long/" + "n" * 998 + "m"),
)


def test_every_log_gets_a_name_of_its_own_that_mlflow_takes() -> None:
    found = of_logs(ODD, ("knn",))
    assert list(found) == list(ODD)
    assert len({name.lower() for name in found.values()}) == len(ODD)
    for name in found.values():
        _validate_metric_name(name)
        _validate_tag_name(f"protocol:{name}"[:250])
        area, _, rest = name.partition("/")
        assert rest
        assert area not in {"train", "test", "validation", "untrained", "system", "health", "knn"}
    assert found == of_logs(tuple(reversed(ODD)), ("knn",)), "their order decides nothing"
    kept = ("contrast/top1", "way/top1", "pixels/error_of_zeros")
    assert of_logs(kept) == {name: name for name in kept}


def test_what_a_method_logs_by_an_odd_name_is_there_and_hides_nothing_of_ours(
    small_run: RunConfig, small_data: Data, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    contrast = SimCLR.contrast

    def logs_more(self: SimCLR, embeddings: tuple[torch.Tensor, ...], batch: Batch) -> StepResult:
        result = contrast(self, embeddings, batch)
        more = {"pretext/acc@1": torch.tensor(0.25), "train/loss": torch.tensor(-7.0), "lonely": torch.tensor(2.0)}
        return StepResult(loss=result.loss, logs={**result.logs, **more})

    monkeypatch.setattr(SimCLR, "contrast", logs_more)
    training = Training(small_run, small_data, processor)
    means = next(iter(training.epochs()))
    assert (means["pretext/acc_1"], means["method/train/loss"], means["method/lonely"]) == (0.25, -7.0, 2.0)
    assert means["train/loss"] > 0
    for name in means:
        _validate_metric_name(name)


def test_seeds_of_63_bits_are_seeds_and_larger_ones_are_refused(small_run: RunConfig) -> None:
    assert small_run.with_field("seed", 2**63 - 1).seed == 2**63 - 1
    with pytest.raises(Exception, match=r"seed: .*less than or equal to 9223372036854775807, got 9223372036854775808"):
        small_run.with_field("seed", 2**63)
