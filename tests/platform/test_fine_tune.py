"""The fine-tuning probe: it learns, it sees no more labels than it may, and it leaves everything as it was."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sources import classes_of, with_fields
from torch import Tensor

from unlabeled.methods.contrastive.moco import MoCoConfig
from unlabeled.platform.augment import Policy, two_views
from unlabeled.platform.collective.batch_norm import GroupedBatchNorm
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import ArrayImages, Classes, Data, InChannels, Joined, Source
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.evaluate import FineTune, ProbeConfig, Subject, every
from unlabeled.platform.evaluate.fitting import Fit
from unlabeled.platform.evaluate.probe import labelled_rows, share_of_labels
from unlabeled.platform.method import Method
from unlabeled.platform.optim import AdamW
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import build_method
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.platform.train.protocols import protocols

QUICK = FineTune(epochs=2, min_steps=0)


@pytest.fixture
def method(small_run: RunConfig, small_data: Data, processor: Processor) -> Method:
    return build_method(small_run, small_data, processor)


def pictures_of(labels: Tensor, seed: int) -> Source:
    """Noise, with a bright stripe in a place that tells the class."""
    noise = np.random.default_rng(seed).integers(0, 120, size=(len(labels), 1, 28, 28), dtype=np.uint8)
    for picture, label in zip(noise, labels.tolist(), strict=True):
        picture[:, 4 + 5 * label : 7 + 5 * label] += 120
    return Joined(ArrayImages(noise), Classes(labels, "abcd"))


@pytest.fixture
def stripes(small_data: Data) -> Data:
    """Four classes that are easy to tell."""
    labels = torch.arange(120) % 4
    train, test = pictures_of(labels, 0), pictures_of(labels, 1)
    return replace(small_data, train=train, pretrain=train, validation=test, test=test)


def test_it_tells_separable_classes_apart(method: Method, stripes: Data, processor: Processor) -> None:
    probe = FineTune(labels=0.2, min_steps=60, batch_size=16, augmentation=Policy())
    found = probe.measure(Subject(method, copy.deepcopy(method.encoder), stripes, processor, 0), ("validation", "test"))
    assert found == {"validation": {"top1": 1.0}, "test": {"top1": 1.0}}


def test_it_leaves_the_method_and_torchs_generator_as_they_were(
    method: Method, small_data: Data, processor: Processor
) -> None:
    method.train()
    method.encoder.stages[0].eval()  # type: ignore[operator,union-attr]
    modes = [module.training for module in method.modules()]
    before = {name: value.clone() for name, value in method.state_dict().items()}
    generator = torch.get_rng_state()
    QUICK.measure(Subject(method, copy.deepcopy(method.encoder), small_data, processor, 0), ("test",))
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert [module.training for module in method.modules()] == modes
    assert all(parameter.grad is None and parameter.requires_grad for parameter in method.parameters())
    assert torch.equal(torch.get_rng_state(), generator)


def test_the_runs_seed_decides_it_and_torchs_own_generator_does_not(
    method: Method, small_data: Data, processor: Processor
) -> None:
    def weights(seed: int) -> list[Tensor]:
        trained = QUICK._train(Subject(method, copy.deepcopy(method.encoder), small_data, processor, seed))
        return [parameter.detach() for parameter in trained.parameters()]

    first = weights(0)
    torch.rand(7)
    again, other = weights(0), weights(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], next(method.encoder.parameters())), "the encoder is trained too"


def test_a_share_of_the_labels_sees_only_those_pictures(method: Method, small_data: Data, processor: Processor) -> None:
    labels = classes_of(small_data.train)
    allowed = set(share_of_labels(labels, 0.1).tolist())
    seen: set[int] = set()

    class Watched(InChannels):  # type: ignore[misc]
        def read(self, index: Tensor, field: str) -> Tensor | list[str]:
            if field == "image":
                seen.update(index.tolist())
            return super().read(index, field)

    watched = Watched(small_data.train, 1)
    found = QUICK.with_field("labels", 0.1).measure(
        Subject(method, copy.deepcopy(method.encoder), replace(small_data, train=watched), processor, 0), ("test",)
    )
    assert seen == allowed
    assert len(allowed) < 0.2 * len(labels)
    assert 0.0 <= found["test"]["top1"] <= 1.0


def test_pictures_without_a_label_are_never_seen(method: Method, stripes: Data, processor: Processor) -> None:
    labels = classes_of(stripes.train)
    some = with_fields(stripes.train, Classes(labels, "abcd", known=torch.arange(len(labels)) < 60))
    chosen = labelled_rows(some, "class", 0.5)
    assert some.known("class")[chosen].all()
    assert some.tensor(chosen, "class").bincount().tolist() == [8, 8, 8, 8]


@pytest.mark.parametrize(
    ("pictures", "sizes"), [(50, [50]), (64, [64]), (65, [64]), (130, [64, 64]), (128, [64, 64]), (2, [2])]
)
def test_the_last_batch_is_dropped_if_it_is_incomplete_and_not_the_only_one(pictures: int, sizes: list[int]) -> None:
    assert [len(rows) for rows in Fit(1, 0, 64, AdamW()).batches(torch.arange(pictures))] == sizes


@pytest.mark.parametrize(("epochs", "least", "expected"), [(2, 0, 6), (2, 3, 6), (2, 7, 7)])
def test_it_takes_the_steps_that_it_says(
    method: Method,
    small_data: Data,
    processor: Processor,
    monkeypatch: pytest.MonkeyPatch,
    epochs: int,
    least: int,
    expected: int,
) -> None:
    rates: list[float] = []

    def rate(self: AdamW, step: int, steps_per_epoch: int, total_steps: int, batch_size: int) -> float:
        rates.append(AdamW.__mro__[1].learning_rate_at(self, step, steps_per_epoch, total_steps, batch_size))  # type: ignore[attr-defined]
        return rates[-1]

    monkeypatch.setattr(AdamW, "learning_rate_at", rate)
    probe = FineTune(epochs=epochs, min_steps=least, batch_size=80)  # 256 pictures: 3 batches of 80
    probe.measure(Subject(method, copy.deepcopy(method.encoder), small_data, processor, 0), ("test",))
    assert len(rates) == expected
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(1e-3)


def test_of_an_encoder_that_has_not_learned_it_is_training_from_scratch(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    probe = QUICK.with_field("labels", 0.1)
    run = small_run.with_field("evaluation", EvaluationConfig(final=every((probe,), layers=("", "head"))))
    evaluation, method = Evaluation(run, small_data, processor), build_method(run, small_data, processor)
    final, untrained = evaluation.final(method), evaluation.untrained(method)
    assert set(final) == {"validation/fine-tune-10pct/top1", "test/fine-tune-10pct/top1"}, "not on a layer's features"
    assert untrained == {"untrained/fine-tune-10pct/top1": final["test/fine-tune-10pct/top1"]}
    how = protocols(run.evaluation, small_data)
    assert how["test/fine-tune-10pct/top1"].endswith("on test, the whole encoder, last epoch")


def test_it_is_a_value_and_its_protocol_names_the_augmentation_in_words() -> None:
    probe = FineTune(labels=0.01, optimizer=AdamW(learning_rate=5e-4, clip_norm=1.0))
    assert ProbeConfig.model_validate_json(probe.canonical_json()) == probe
    for words in (
        "fine-tune@2 (labels 0.01, epochs 5,",
        "optimizer.learning_rate 0.0005,",
        "Crop(0.5-1) > Flip(p=0.5)",
    ):
        assert words in probe.protocol


def test_an_encoder_whose_batch_norm_a_method_grouped_is_fine_tuned_with_its_own(
    small_data: Data, processor: Processor
) -> None:
    """Fifty pictures don't cut into the groups of MoCo's batch; and one worker of several fine-tunes alone."""
    run = RunConfig(
        method=MoCoConfig(views=two_views(Policy()), head=(8,), queue=128, bn_groups=8),
        encoder=ConvNetConfig(width=4),
        batch_size=64,
        evaluation=EvaluationConfig(final=(FineTune(labels=0.2, epochs=1, min_steps=2, batch_size=50),)),
    )
    moco = build_method(run, small_data, processor)
    with torch.no_grad():
        for buffer in moco.encoder.buffers():
            buffer.add_(1)
    evaluation = Evaluation(run, small_data, processor)
    copied = evaluation._copy(moco.encoder)
    assert not any(isinstance(layer, GroupedBatchNorm) for layer in copied.modules())
    for name, value in moco.encoder.state_dict().items():
        assert torch.equal(copied.state_dict()[name], value), name
    assert 0.0 <= evaluation.final(moco)["test/fine-tune-20pct/top1"] <= 1.0
