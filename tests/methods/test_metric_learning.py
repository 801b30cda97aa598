"""Metric learning: each loss of a batch against the same loss of pairs that are given, one anchor after another."""

from dataclasses import replace

import pytest
import torch
from formats import plain
from sources import with_fields
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.losses import (
    contrastive_pair,
    info_nce,
    lifted_structured,
    n_pair,
    nce,
    soft_nearest_neighbor,
    triplet,
)
from unlabeled.methods.losses.numerics import unit
from unlabeled.methods.supervised.class_losses import (
    NCE,
    ClassLoss,
    Contrastive,
    InfoNCE,
    LiftedStructured,
    NPair,
    SoftNearestNeighbor,
    Triplet,
    drawn,
    nearest_is_of_its_class,
)
from unlabeled.methods.supervised.metric_learning import MetricLearning, MetricLearningConfig
from unlabeled.platform.data import Classes, Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

LABELS = [0, 1, 0, 2, 1, 0, 2, 2, 3, 0]  # the only one of class 3 has no positive
CHANCE = [0.0, 0.5, 0.99, 0.4, 0.1, 0.34, 0.6, 0.2, 0.9, 0.67]


def rows(sphere: bool) -> Tensor:
    x = torch.randn(len(LABELS), 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return (unit(x) if sphere else 0.7 * x).requires_grad_()


def sides(anchor: int) -> tuple[list[int], list[int]]:
    """Return the anchor's positives and negatives."""
    others = [each for each in range(len(LABELS)) if each != anchor]
    same = [each for each in others if LABELS[each] == LABELS[anchor]]
    return same, [each for each in others if each not in same]


ANCHORS = [anchor for anchor in range(len(LABELS)) if sides(anchor)[0]]


def over_pairs(term: object) -> Tensor:
    """Return the mean over anchors of the mean of a term of the anchor, a positive and all negatives."""
    means = []
    for anchor in ANCHORS:
        positives, negatives = sides(anchor)
        means.append(torch.stack([term([anchor], [p], negatives) for p in positives]).mean())  # type: ignore[operator]
    return torch.stack(means).mean()


def contrastive(x: Tensor, loss: Contrastive) -> Tensor:
    pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j]
    halves = []
    for same in (True, False):
        one, other = zip(*[(i, j) for i, j in pairs if (LABELS[i] == LABELS[j]) == same], strict=True)
        told = torch.full((len(one),), same)
        halves.append(contrastive_pair(x[list(one)], x[list(other)], told, loss.margin))
    return (halves[0] + halves[1]) / 2


def mined_triplet(x: Tensor, loss: Triplet) -> Tensor:
    terms = []
    for anchor in ANCHORS:
        positives, negatives = sides(anchor)
        positive = positives[int(CHANCE[anchor] * len(positives))]
        far = {each: float((x[anchor] - x[each]).detach().square().sum()) for each in [*negatives, positive]}
        if loss.mining == "hardest":
            negatives = [min(negatives, key=far.__getitem__)]
        elif loss.mining == "semi-hard":
            hard = [each for each in negatives if far[positive] < far[each] < far[positive] + loss.margin]
            negatives = [min(hard, key=far.__getitem__)] if hard else [max(negatives, key=far.__getitem__)]
        terms.append(torch.stack([triplet(x[[anchor]], x[[positive]], x[[n]], loss.margin) for n in negatives]).mean())
    return torch.stack(terms).mean()


def slow(x: Tensor, loss: ClassLoss) -> Tensor:
    labels = torch.tensor(LABELS)
    if isinstance(loss, Contrastive):
        return contrastive(x, loss)
    if isinstance(loss, Triplet):
        return mined_triplet(x, loss)
    if isinstance(loss, LiftedStructured):
        return lifted_structured(x, labels, loss.margin, half_square=loss.half_square)
    if isinstance(loss, SoftNearestNeighbor):
        return soft_nearest_neighbor(x, labels, loss.temperature)
    if isinstance(loss, NPair):
        return over_pairs(lambda a, p, n: n_pair(x[a], x[p], x[n])) + loss.penalty * x.square().sum() / len(x)
    if isinstance(loss, InfoNCE):
        return over_pairs(lambda a, p, n: info_nce(x[a], x[p], x[n], loss.temperature, cosine=False))
    assert isinstance(loss, NCE)
    score = x @ x.T / loss.temperature
    return over_pairs(lambda a, p, n: nce(score[a, p], score[a][:, n]))


CASES = [
    Contrastive(margin=1.5),
    *(Triplet(margin=margin, mining=mining) for mining in ("none", "semi-hard", "hardest") for margin in (0.2, 1.0)),
    LiftedStructured(margin=0.8),
    LiftedStructured(half_square=False),
    NPair(penalty=0.3),
    InfoNCE(temperature=0.3),
    NCE(temperature=0.4),
    SoftNearestNeighbor(temperature=0.7),
]


@pytest.mark.parametrize("loss", CASES, ids=repr)
def test_a_batchs_loss_is_that_of_its_pairs_one_by_one(loss: ClassLoss) -> None:
    ours, theirs = rows(loss.on_sphere), rows(loss.on_sphere)
    found = loss(ours, torch.tensor(LABELS), torch.tensor(CHANCE))
    expected = slow(theirs, loss)
    assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert found > 0
    for value in (found, expected):
        value.backward()  # type: ignore[no-untyped-call]
    assert_close(ours.grad, theirs.grad, rtol=1e-8, atol=1e-12)


def test_every_kind_is_tried() -> None:
    assert {type(loss) for loss in CASES} == set(ClassLoss.kinds().values())


@pytest.mark.parametrize("kind", ClassLoss.kinds())
@pytest.mark.parametrize("labels", [[0] * 10, list(range(10))], ids=["one class", "no two of a class"])
def test_without_positives_or_negatives_it_stays_finite(kind: str, labels: list[int]) -> None:
    loss = ClassLoss.kinds()[kind]()
    x = rows(loss.on_sphere)
    found = loss(x, torch.tensor(labels), torch.tensor(CHANCE))
    found.backward()
    assert found.isfinite()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    pushed = kind in {"contrastive", "n-pair"}  # pairs of one kind are left, or the penalty
    assert pushed or found == 0.0


def test_each_positive_is_drawn_as_often() -> None:
    mask = torch.tensor([[False, True, False, True, True]]).expand(999, 5)
    chance = torch.arange(999) / 999
    assert drawn(mask, chance).bincount(minlength=5).tolist() == [0, 333, 0, 333, 333]
    assert drawn(mask[:1], torch.tensor([1.0 - 2**-24])).tolist() == [4]
    assert drawn(torch.zeros(1, 5, dtype=torch.bool), torch.tensor([0.5])).tolist() == [0]


def test_how_often_the_nearest_is_of_the_class() -> None:
    x, hits = rows(sphere=False).detach(), 0
    for anchor in ANCHORS:
        others = [each for each in range(len(x)) if each != anchor]
        hits += LABELS[min(others, key=lambda each: float((x[anchor] - x[each]).norm()))] == LABELS[anchor]
    assert nearest_is_of_its_class(x, torch.tensor(LABELS)).item() == pytest.approx(hits / len(ANCHORS))
    assert nearest_is_of_its_class(torch.ones_like(x), torch.tensor(LABELS)) == 0.0, "of a collapse"


# ---- the method ----------------------------------------------------------------------------------------------------


def build(**fields: object) -> MetricLearning:
    torch.manual_seed(0)
    config = MetricLearningConfig.checked(**{"head": (12, 6), **fields})
    return config.build(ConvNetConfig(width=4).build(plain(1, 16)), load(DataConfig(train_images=256))).double()


def batch_of(views: int) -> Batch:
    images = torch.rand(views, 5, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    index = torch.arange(5)
    labels = torch.tensor(LABELS[:5])
    return Batch(views=images.unbind(), index=index, draws=Draws(index, 0, 0), targets={"class": labels})


@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize("kind", ["triplet", "contrastive"])
def test_all_views_are_samples(kind: str, views: int) -> None:
    method, batch = build(loss=kind), batch_of(views)
    method.eval()  # so that batch norm makes no difference between all at once and one after another
    result = method(batch)
    x = torch.stack([method.head(method.encoder(view)) for view in batch.views], dim=1).flatten(0, 1)
    x = unit(x) if kind == "triplet" else x
    labels, chance = batch.targets["class"].repeat_interleave(views), batch.draws.uniform("positive", views).flatten()
    assert_close(result.loss, method.loss(x, labels, chance), rtol=1e-10, atol=0)
    assert_close(result.logs["contrast/top1"], nearest_is_of_its_class(x, labels))


def test_half_precision_compares_in_full() -> None:
    method = build(loss="info-nce").float()
    batch = batch_of(2)
    batch = Batch(
        views=tuple(v.float() for v in batch.views), index=batch.index, draws=batch.draws, targets=batch.targets
    )
    with torch.autocast("cpu", torch.bfloat16):
        result = method(batch)
    assert result.loss.dtype == torch.float32
    assert_close(result.loss, method(batch).loss, rtol=0.05, atol=0)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("tripet", r"loss: no ClassLoss is called 'tripet'; did you mean 'triplet'"),
        ({"name": "triplet", "margin": -1.0}, r"loss.*margin.*greater than or equal to 0.*-1"),
        ({"name": "triplet", "mining": "soft"}, r"mining.*'none', 'semi-hard' or 'hardest'.*soft"),
        ({"name": "info-nce", "margin": 1.0}, r"loss.*margin"),
        ({"name": "nce", "temperature": 0.0}, r"temperature.*greater than 0"),
    ],
)
def test_what_can_be_no_loss_is_one_clear_line(loss: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        MetricLearningConfig.checked(loss=loss)
    assert "\n" not in str(error.value)


def test_a_loss_is_set_by_name_or_by_its_options() -> None:
    config = MetricLearningConfig().with_field("loss", "lifted-structured").with_field("loss.margin", 2.0)
    assert config.loss == LiftedStructured(margin=2.0)
    assert MetricLearningConfig.model_validate_json(config.canonical_json()) == config
    assert config.identity()["loss"] == {"name": "lifted-structured@1", "margin": 2.0}


def test_one_class_can_not_be_told_apart(small_data: Data) -> None:
    items = small_data.train
    one = replace(small_data, train=with_fields(items, Classes([0] * len(items), ["all"])))
    with pytest.raises(UserError, match=r"^metric-learning needs two classes or more .* has 1; choose other data"):
        MetricLearningConfig().check(64, 1, one)
