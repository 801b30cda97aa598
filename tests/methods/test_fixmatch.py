"""FixMatch: algorithm 1 by a loop over pictures, and the average of the weights step by step."""

import math

import numpy as np
import pytest
import torch
from formats import plain
from sources import with_classes
from torch import Tensor, nn
from torch.testing import assert_close

from unlabeled.methods.supervised.fixmatch import STRONG, WEAK, FixMatch, FixMatchConfig, weak_and_strong
from unlabeled.platform.augment import Crop, Stream, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loop import Training

B, MU, CLASSES, PX = 3, 4, 5, 12


def method_of(**fields: object) -> FixMatch:
    torch.manual_seed(0)
    method = FixMatch(FixMatchConfig.checked(**fields), ConvNetConfig(width=4).build(plain(1, PX)), CLASSES).double()
    for classifier in (method.classifier, method.average.twin[1]):
        classifier.weight.data *= 6000.0  # so that it is sure of some
        classifier.bias.data *= 0.0
    return method


def batch_of() -> Batch:
    generator = torch.Generator().manual_seed(1)
    shown, weak, strong = (
        torch.rand(n, 1, PX, PX, generator=generator, dtype=torch.float64) for n in (B, MU * B, MU * B)
    )
    classes = torch.randint(CLASSES, (B,), generator=generator)

    def draws(n: int) -> Draws:
        return Draws(torch.arange(n), 0)

    labelled = Batch(views=(shown,), index=torch.arange(B), draws=draws(B), targets={"class": classes})
    return Batch(views=(weak, strong), index=torch.arange(MU * B), draws=draws(MU * B), streams={"labelled": labelled})


def probabilities(method: FixMatch, image: Tensor) -> list[float]:
    logits = method.classifier(method.encoder(image[None]))[0].tolist()
    total = sum(math.exp(logit - max(logits)) for logit in logits)
    return [math.exp(logit - max(logits)) / total for logit in logits]


@pytest.mark.parametrize("threshold", [0.0, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_loss_is_algorithm_1(threshold: float, weight: float) -> None:
    method, batch = method_of(threshold=threshold, weight=weight).eval(), batch_of()
    result = method(batch)
    labelled = batch.streams["labelled"]
    told = [probabilities(method, image) for image in labelled.views[0]]
    supervised = sum(-math.log(p[y]) for p, y in zip(told, labelled.targets["class"].tolist(), strict=True)) / B
    unsupervised, counted = 0.0, 0
    for weak, strong in zip(*batch.views, strict=True):
        q, p = probabilities(method, weak), probabilities(method, strong)
        if max(q) >= threshold:
            counted += 1
            unsupervised += -math.log(p[q.index(max(q))])
    unsupervised /= MU * B
    assert float(result.loss.detach()) == pytest.approx(supervised + weight * unsupervised, rel=1e-9)
    assert float(result.logs["labelled/loss"]) == pytest.approx(supervised, rel=1e-9)
    assert float(result.logs["pseudo/loss"]) == pytest.approx(unsupervised, rel=1e-9)
    assert float(result.logs["pseudo/share"]) == pytest.approx(counted / (MU * B))
    right = np.mean([np.argmax(p) == y for p, y in zip(told, labelled.targets["class"].tolist(), strict=True)])
    assert float(result.logs["labelled/top1"]) == pytest.approx(right)
    if threshold in (0.8, 0.95):
        assert 0 < counted < MU * B, "some count and some do not"


def test_no_gradient_goes_by_the_pseudo_labels() -> None:
    method, batch = method_of(threshold=0.0).eval(), batch_of()
    weak = batch.views[0].clone().requires_grad_()
    strong = batch.views[1].clone().requires_grad_()
    streams = batch.streams
    result = method(Batch(views=(weak, strong), index=batch.index, draws=batch.draws, streams=streams))
    of_weak, of_strong = torch.autograd.grad(result.loss, (weak, strong))
    assert (of_weak == 0.0).all()
    assert (of_strong != 0.0).any()


def test_batch_norm_sees_all_three_kinds_of_pictures_in_one_batch() -> None:
    method, batch = method_of().train(), batch_of()
    seen: list[int] = []
    method.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    method(batch)
    assert seen == [B + 2 * MU * B]


def test_the_average_is_the_papers_with_the_statistics_of_the_weights_in_training() -> None:
    method, batch = method_of(ema=0.9).train(), batch_of()
    averaged = [p.detach().clone() for p in (*method.encoder.parameters(), *method.classifier.parameters())]
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    for step in range(3):
        optimizer.zero_grad()
        method(batch).loss.backward()
        optimizer.step()
        method.after_step((step + 1) / 3)
        live = [p.detach() for p in (*method.encoder.parameters(), *method.classifier.parameters())]
        averaged = [0.9 * before + 0.1 * now for before, now in zip(averaged, live, strict=True)]
    assert_close(list(method.average.twin.parameters()), averaged)
    network = nn.Sequential(method.encoder, method.classifier)
    for ours, theirs in zip(method.average.twin.buffers(), network.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    method.eval()
    layers, images = method.layers(), batch.views[0]
    assert torch.equal(layers["logits"](images), method.average.twin(images))
    assert torch.equal(layers["logits-in-training"](images), method.classifier(method.encoder(images)))
    assert layers["logits"](images).shape == (MU * B, CLASSES)


def run_of(**fields: object) -> RunConfig:
    example = FixMatchConfig.example()
    method = FixMatchConfig.checked(**{"views": example.method.views, **fields})
    return RunConfig.checked(method=method, encoder=example.encoder, data=example.data, batch_size=64)


def test_a_batch_has_a_labelled_picture_beside_each_few_and_no_more_than_the_labels_of_a_class(
    small_data: Data, processor: Processor
) -> None:
    training = Training(run_of(), small_data, processor)
    used: dict[int, int] = {}
    for step in range(12):
        labelled = training.batch(step).streams["labelled"]
        assert len(labelled.index) == 64 // 4
        expected = small_data.pretrain.read(labelled.index, "class")
        assert torch.equal(labelled.targets["class"], expected)
        used.update(zip(labelled.index.tolist(), labelled.targets["class"].tolist(), strict=True))
    assert np.bincount(list(used.values())).tolist() == [10] * 10


def test_the_classes_are_the_datas(small_data: Data) -> None:
    data = with_classes(small_data, [str(number) for number in range(12)])
    method = FixMatchConfig().build(ConvNetConfig(width=4).build(plain(1, 28)), data)
    assert isinstance(method, FixMatch)
    assert method.classifier.out_features == 12


def test_defaults_are_the_papers_on_cifar_10_with_250_labels() -> None:
    config = FixMatchConfig()
    stream = config.views.streams["labelled"]
    assert (config.threshold, config.weight, config.ema) == (0.95, 1.0, 0.999)
    assert (stream.beside, stream.per_class) == (7, 25)


@pytest.mark.parametrize(
    "views",
    [
        ViewPlan(views=(WEAK, STRONG)),
        ViewPlan(views=(WEAK, STRONG), streams={"labelled": Stream(plan=ViewPlan(views=(WEAK,)), beside=4)}),
        ViewPlan(views=(WEAK, STRONG), streams={"told": weak_and_strong(4, 10).streams["labelled"]}),
    ],
)
def test_without_labelled_pictures_is_one_clear_line(views: ViewPlan, small_data: Data) -> None:
    with pytest.raises(UserError, match=r"^fixmatch needs a stream of method\.views called 'labelled', with one view"):
        FixMatchConfig(views=views).check(64, 1, small_data)


def test_views_of_different_sizes_are_one_clear_line(small_data: Data) -> None:
    plan = weak_and_strong(4, 10)
    views = plan.model_copy(update={"views": (plan.views[0], STRONG.replacing(Crop(size=20)))})
    with pytest.raises(UserError, match=r"go through the encoder together, and have sides of 20, 28 px; set the sizes"):
        FixMatchConfig(views=ViewPlan(views=views.views, streams=plan.streams)).check(64, 1, small_data)
