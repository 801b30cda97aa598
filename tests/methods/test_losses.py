"""Each loss against its paper's formula, written as loops over Python floats; then its limits, symmetries and edges."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from formats import plain
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.methods.losses import (
    chunked,
    contrastive_pair,
    hardest_negatives,
    info_nce,
    info_nce_with_top1,
    lifted_structured,
    margin_triplet,
    n_pair,
    nce,
    nt_logistic,
    nt_xent,
    nt_xent_with_top1,
    semi_hard_negatives,
    soft_nearest_neighbor,
    sup_con,
    triplet,
)
from unlabeled.methods.losses.numerics import log_sum_exp, unit
from unlabeled.platform.augment import SIMCLR_SMALL, two_views
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

Vector = list[float]
Rows = list[Vector]


# ---- the papers' formulas, slowly ----------------------------------------------------------------------------------


def dot(a: Vector, b: Vector) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def distance(a: Vector, b: Vector) -> float:
    return math.sqrt(math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def cosine(a: Vector, b: Vector) -> float:
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def slow_nt_xent(z1: Rows, z2: Rows, temperature: float) -> float:
    views, n = z1 + z2, len(z1)
    terms = []
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        others = [math.exp(cosine(views[i], views[k]) / temperature) for k in range(2 * n) if k != i]
        terms.append(-math.log(math.exp(cosine(views[i], views[j]) / temperature) / math.fsum(others)))
    return mean(terms)


def chosen(positive: float, negatives: list[float], mining: str, margin: float) -> list[float]:
    """Return the similarities of the negatives that count, all or one."""
    if mining == "none":
        return negatives
    if mining == "hardest":
        return [max(negatives)]
    semi_hard = [s for s in negatives if positive - margin < s < positive]
    return [max(semi_hard)] if semi_hard else [min(negatives)]


def slow_nt_logistic(z1: Rows, z2: Rows, temperature: float, mining: str = "none") -> float:
    views, n = z1 + z2, len(z1)
    terms = []
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        positive = cosine(views[i], views[j])
        negatives = [cosine(views[i], views[k]) for k in range(2 * n) if k not in (i, j)]
        apart = [-math.log(sigmoid(-s / temperature)) for s in chosen(positive, negatives, mining, math.inf)]
        terms.append(-math.log(sigmoid(positive / temperature)) + mean(apart))
    return mean(terms)


def slow_margin_triplet(z1: Rows, z2: Rows, margin: float, mining: str = "none") -> float:
    views, n = z1 + z2, len(z1)
    terms = []
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        positive = cosine(views[i], views[j])
        negatives = [cosine(views[i], views[k]) for k in range(2 * n) if k not in (i, j)]
        terms.append(mean([max(s - positive + margin, 0) for s in chosen(positive, negatives, mining, margin)]))
    return mean(terms)


def slow_info_nce(
    query: Rows, positive: Rows, negatives: Rows, temperature: float, similarity: Callable = cosine
) -> float:
    terms = []
    for q, k in zip(query, positive, strict=True):
        hit = math.exp(similarity(q, k) / temperature)
        terms.append(-math.log(hit / (hit + math.fsum(math.exp(similarity(q, n) / temperature) for n in negatives))))
    return mean(terms)


def slow_n_pair(anchor: Rows, positive: Rows, negatives: list[Rows]) -> float:
    terms = []
    for a, p, own in zip(anchor, positive, negatives, strict=True):
        terms.append(math.log(1 + math.fsum(math.exp(dot(a, n) - dot(a, p)) for n in own)))
    return mean(terms)


def slow_contrastive_pair(x: Rows, y: Rows, same: list[bool], margin: float) -> float:
    terms = []
    for a, b, equal in zip(x, y, same, strict=True):
        terms.append(distance(a, b) ** 2 if equal else max(0, margin - distance(a, b)) ** 2)
    return mean(terms)


def slow_triplet(anchor: Rows, positive: Rows, negative: Rows, margin: float) -> float:
    rows = zip(anchor, positive, negative, strict=True)
    return mean([max(0, distance(a, p) ** 2 - distance(a, n) ** 2 + margin) for a, p, n in rows])


def slow_lifted_structured(x: Rows, labels: list[int], margin: float, half_square: bool = False) -> float:
    pairs = []
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            if labels[i] != labels[j]:
                continue
            total = 0.0
            for k in range(len(x)):
                if labels[k] != labels[i]:
                    total += math.exp(margin - distance(x[i], x[k])) + math.exp(margin - distance(x[j], x[k]))
            pairs.append(max(0, math.log(total) + distance(x[i], x[j])))
    return sum(pair**2 for pair in pairs) / (2 * len(pairs)) if half_square else mean(pairs)


def slow_soft_nearest_neighbor(x: Rows, labels: list[int], temperature: float) -> float:
    terms = []
    for i in range(len(x)):
        same = everything = 0.0
        for j in range(len(x)):
            if j != i:
                near = math.exp(-(distance(x[i], x[j]) ** 2) / temperature)
                everything += near
                same += near if labels[i] == labels[j] else 0.0
        if same:
            terms.append(-math.log(same / everything))
    return mean(terms)


def slow_sup_con(z: Rows, labels: list[int], temperature: float) -> float:
    terms = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        total = math.fsum(math.exp(cosine(z[i], z[a]) / temperature) for a in others)
        own = [-math.log(math.exp(cosine(z[i], z[p]) / temperature) / total) for p in others if labels[p] == labels[i]]
        if own:
            terms.append(mean(own))
    return mean(terms)


def slow_nce(data: Vector, noise: Rows) -> float:
    terms = []
    for i in range(len(data)):
        frequency = len(noise[i])  # h = p_model / (p_model + frequency p_noise)
        posterior = [math.exp(g) / (math.exp(g) + frequency) for g in [data[i], *noise[i]]]
        terms.append(-math.log(posterior[0]) - math.fsum(math.log(1 - h) for h in posterior[1:]))
    return mean(terms)


# ---- one case per loss and option ----------------------------------------------------------------------------------

B, D, K = 6, 3, 4
LABELS = torch.tensor([0, 1, 0, 2, 1, 0])  # class 2 has one sample: it is nobody's positive
SAME = torch.tensor([True, False, True, False, False, True])


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


X, Y, Z = (draw(B, D, seed=seed) for seed in range(3))
SHARED, OWN = draw(K, D, seed=3), draw(B, K, D, seed=4)
RATIO, NOISE = draw(B, seed=5), draw(B, K, seed=6)

Case = tuple[Callable[..., Tensor], tuple[Tensor, ...], Callable[..., float]]
CASES: dict[str, Case] = {
    "nt_xent": (lambda a, b: nt_xent(a, b, 0.3), (X, Y), lambda a, b: slow_nt_xent(a, b, 0.3)),
    "nt_xent sharp": (lambda a, b: nt_xent(a, b, 0.01), (X, Y), lambda a, b: slow_nt_xent(a, b, 0.01)),
    "nt_xent with top1": (lambda a, b: nt_xent_with_top1(a, b, 0.3).loss, (X, Y), lambda a, b: slow_nt_xent(a, b, 0.3)),
    "info_nce": (
        lambda q, k, n: info_nce(q, k, n, 0.3),
        (X, Y, SHARED),
        lambda q, k, n: slow_info_nce(q, k, n, 0.3),
    ),
    "info_nce by dot product": (
        lambda q, k, n: info_nce(q, k, n, 0.9, cosine=False),
        (X, Y, SHARED),
        lambda q, k, n: slow_info_nce(q, k, n, 0.9, dot),
    ),
    "info_nce with top1": (
        lambda q, k, n: info_nce_with_top1(q, k, n, 0.3).loss,
        (X, Y, SHARED),
        lambda q, k, n: slow_info_nce(q, k, n, 0.3),
    ),
    "info_nce own negatives": (
        lambda q, k, n: info_nce(q, k, n, 0.3),
        (X, Y, OWN),
        lambda q, k, n: mean([slow_info_nce([q[i]], [k[i]], n[i], 0.3) for i in range(B)]),
    ),
    "n_pair": (n_pair, (X, Y, OWN), slow_n_pair),
    "n_pair shared": (n_pair, (X, Y, SHARED), lambda a, p, n: slow_n_pair(a, p, [n] * B)),
    "contrastive_pair": (
        lambda a, b: contrastive_pair(a, b, SAME, 3.5),
        (X, Y),
        lambda a, b: slow_contrastive_pair(a, b, SAME.tolist(), 3.5),
    ),
    "triplet": (lambda a, p, n: triplet(a, p, n, 2.0), (X, Y, Z), lambda a, p, n: slow_triplet(a, p, n, 2.0)),
    "lifted_structured": (
        lambda x: lifted_structured(x, LABELS, 1.0),
        (X,),
        lambda x: slow_lifted_structured(x, LABELS.tolist(), 1.0),
    ),
    "lifted_structured as published": (
        lambda x: lifted_structured(x, LABELS, 1.0, half_square=True),
        (X,),
        lambda x: slow_lifted_structured(x, LABELS.tolist(), 1.0, half_square=True),
    ),
    "soft_nearest_neighbor": (
        lambda x: soft_nearest_neighbor(x, LABELS, 2.0),
        (X,),
        lambda x: slow_soft_nearest_neighbor(x, LABELS.tolist(), 2.0),
    ),
    "sup_con": (lambda x: sup_con(x, LABELS, 0.3), (X,), lambda x: slow_sup_con(x, LABELS.tolist(), 0.3)),
    "nce": (nce, (RATIO, NOISE), slow_nce),
    "nce one noise": (nce, (RATIO, NOISE[:, 0]), lambda data, noise: slow_nce(data, [[g] for g in noise])),
}
for _mining in ("none", "semi-hard", "hardest"):
    CASES[f"nt_logistic {_mining}"] = (
        lambda a, b, m=_mining: nt_logistic(a, b, 0.3, m),
        (X, Y),
        lambda a, b, m=_mining: slow_nt_logistic(a, b, 0.3, m),
    )
    CASES[f"margin_triplet {_mining}"] = (
        lambda a, b, m=_mining: margin_triplet(a, b, 0.4, m),
        (X, Y),
        lambda a, b, m=_mining: slow_margin_triplet(a, b, 0.4, m),
    )
each_case = pytest.mark.parametrize(("loss", "inputs", "slow"), CASES.values(), ids=CASES.keys())


def gradients(loss: Callable[..., Tensor], *inputs: Tensor, autocast: bool = False) -> tuple[Tensor, ...]:
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        value = loss(*leaves)
    return torch.autograd.grad(value, leaves)


@each_case
def test_equals_the_formula(
    loss: Callable[..., Tensor], inputs: tuple[Tensor, ...], slow: Callable[..., float]
) -> None:
    expected = torch.tensor(slow(*(x.tolist() for x in inputs)), dtype=torch.float64)
    assert expected > 0.01, "a case that says nothing"
    actual = loss(*inputs)
    assert actual.shape == ()
    assert_close(actual, expected, rtol=1e-10, atol=1e-12)
    assert_close(loss(*(x.float() for x in inputs)), expected.float(), rtol=2e-6, atol=1e-6)


@each_case
def test_gradient_is_that_of_the_loss(
    loss: Callable[..., Tensor], inputs: tuple[Tensor, ...], slow: Callable[..., float]
) -> None:
    leaves = [x.clone().requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(loss, leaves, fast_mode=True)
    assert any(g.abs().max() > 1e-3 for g in gradients(loss, *inputs))


@each_case
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(
    loss: Callable[..., Tensor], inputs: tuple[Tensor, ...], slow: Callable[..., float], dtype: torch.dtype
) -> None:
    halves = [x.to(dtype) for x in inputs]
    actual = loss(*halves)
    assert actual.dtype == torch.float32
    assert torch.equal(actual, loss(*(x.float() for x in halves)))
    assert all(g.dtype == dtype and g.isfinite().all() for g in gradients(loss, *halves))


@each_case
def test_autocast_changes_nothing(
    loss: Callable[..., Tensor], inputs: tuple[Tensor, ...], slow: Callable[..., float]
) -> None:
    singles = [x.float() for x in inputs]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(*singles)
    assert torch.equal(value, loss(*singles))
    for a, b in zip(gradients(loss, *singles, autocast=True), gradients(loss, *singles), strict=True):
        assert torch.equal(a, b)


@each_case
@pytest.mark.parametrize("kind", ["zero", "identical", "huge", "tiny", "some zero"])
def test_gradients_are_finite_at_the_edges(
    loss: Callable[..., Tensor], inputs: tuple[Tensor, ...], slow: Callable[..., float], kind: str
) -> None:
    edges = {
        "zero": torch.zeros_like,
        "identical": torch.ones_like,
        "huge": lambda x: x * 1e4,
        "tiny": lambda x: x * 1e-15,
        "some zero": lambda x: x * (torch.arange(len(x)) % 2).view(-1, *[1] * (x.dim() - 1)),
    }
    edge = [edges[kind](x.float()) for x in inputs]
    assert loss(*edge).isfinite()
    assert all(g.isfinite().all() for g in gradients(loss, *edge))


@each_case
def test_nan_stays_visible(loss: Callable[..., Tensor], inputs: tuple[Tensor, ...], slow: Callable[..., float]) -> None:
    for i in range(len(inputs)):
        broken = [x.clone() for x in inputs]
        broken[i].view(-1)[0] = torch.nan
        assert loss(*broken).isnan(), f"input {i}"


# ---- two views -----------------------------------------------------------------------------------------------------

VIEW_LOSSES = {name: case[0] for name, case in CASES.items() if name.startswith(("nt_", "margin_triplet"))}
each_view_loss = pytest.mark.parametrize("loss", VIEW_LOSSES.values(), ids=VIEW_LOSSES.keys())


@each_view_loss
def test_views_may_be_swapped_and_images_permuted(loss: Callable[..., Tensor]) -> None:
    order = torch.randperm(B, generator=torch.Generator().manual_seed(0))
    assert_close(loss(X, Y), loss(Y, X), rtol=1e-12, atol=0)
    assert_close(loss(X, Y), loss(X[order], Y[order]), rtol=1e-12, atol=0)


@each_view_loss
def test_only_directions_of_views_matter(loss: Callable[..., Tensor]) -> None:
    assert_close(loss(X, Y), loss(X * 7.0, Y * torch.arange(1, B + 1)[:, None]), rtol=1e-12, atol=0)


@each_view_loss
def test_one_image_alone(loss: Callable[..., Tensor]) -> None:
    got = loss(X[:1], Y[:1])
    assert got.isfinite()
    assert all(g.isfinite().all() for g in gradients(loss, X[:1], Y[:1]))


def test_one_image_alone_has_nothing_to_tell_it_from() -> None:
    assert nt_xent(X[:1], Y[:1], 0.1) == 0
    assert margin_triplet(X[:1], Y[:1], 0.5, "semi-hard") == 0
    attraction = -math.log(sigmoid(cosine(X[0].tolist(), Y[0].tolist()) / 0.3))
    assert nt_logistic(X[:1], Y[:1], 0.3, "hardest").item() == pytest.approx(attraction, rel=1e-12)


def test_nt_xent_limits() -> None:
    assert nt_xent(X, Y, 1e6).item() == pytest.approx(math.log(2 * B - 1), rel=1e-5)
    assert nt_xent(X, X.roll(1, dims=0), 1e6).item() == pytest.approx(math.log(2 * B - 1), rel=1e-5)
    corners = torch.eye(4, dtype=torch.float64)
    assert nt_xent(corners, corners, 0.05).item() == pytest.approx(6 * math.exp(-20), rel=1e-6)
    assert nt_xent(corners, -corners, 0.05) <= math.log(2 * 4 - 2) + 2 / 0.05


def test_nt_xent_collapsed_is_chance() -> None:
    same = torch.ones(B, D)
    assert nt_xent(same, same, 0.1).item() == pytest.approx(math.log(2 * B - 1), rel=1e-6)


def test_nt_xent_leaves_a_zero_vector_alone() -> None:
    broken = torch.cat([torch.zeros(1, D), X[1:].float()])
    gradient, _ = gradients(lambda a, b: nt_xent(a, b, 0.1), broken, Y.float())
    assert torch.equal(gradient[0], torch.zeros(D))
    assert (gradient[1:] != 0).all()


def test_top1_counts_the_anchors_whose_partner_is_nearest() -> None:
    corners = torch.eye(4)
    assert nt_xent_with_top1(corners, corners, 0.1).top1 == 1
    assert nt_xent_with_top1(corners, corners.roll(1, dims=0), 0.1).top1 == 0
    half = corners[[0, 1, 3, 2]]  # the last two images are swapped in the second view
    assert nt_xent_with_top1(corners, half, 0.1).top1 == 0.5
    similarities = [[cosine(a, b) for b in [*X.tolist(), *Y.tolist()]] for a in [*X.tolist(), *Y.tolist()]]
    hits = []
    for i, row in enumerate(similarities):
        row[i] = -math.inf
        hits.append(max(range(2 * B), key=row.__getitem__) == (i + B) % (2 * B))
    top1 = nt_xent_with_top1(X, Y, 0.1).top1
    assert top1.item() == pytest.approx(sum(hits) / len(hits))


def test_top1_is_zero_for_a_collapsed_encoder_and_carries_no_gradient() -> None:
    same = torch.ones(B, D, requires_grad=True)
    top1 = nt_xent_with_top1(same, same, 0.1).top1
    assert top1 == 0
    assert not top1.requires_grad
    assert info_nce_with_top1(same, same, same, 0.1).top1 == 0


def test_the_bound_on_the_views_information() -> None:
    """I >= log n - L, where n counts the positive and its independent negatives: the images; the whole queue."""
    two, queue = nt_xent_with_top1(X, Y, 0.3), info_nce_with_top1(X, Y, SHARED, 0.3)
    by_hand = math.log(B) - slow_nt_xent(X.tolist(), Y.tolist(), 0.3)
    assert two.information_bound.item() == pytest.approx(by_hand, rel=1e-10)
    by_hand = math.log(1 + K) - slow_info_nce(X.tolist(), Y.tolist(), SHARED.tolist(), 0.3)
    assert queue.information_bound.item() == pytest.approx(by_hand, rel=1e-10)
    corners = torch.eye(B)
    assert nt_xent_with_top1(corners, corners, 0.01).information_bound.item() == pytest.approx(math.log(B))
    same = torch.ones(B, D, requires_grad=True)
    collapsed = nt_xent_with_top1(same, same, 0.1).information_bound
    assert collapsed.item() == pytest.approx(math.log(B / (2 * B - 1)), abs=1e-6)
    assert not collapsed.requires_grad


@pytest.mark.parametrize(("kinds", "images", "noise"), [(2, 5, 0.0), (3, 3, 0.0), (3, 2, 0.1), (2, 3, 0.5)])
def test_no_critic_gets_its_bound_above_the_information_that_the_views_share(
    kinds: int, images: int, noise: float
) -> None:
    """Over all batches that there are of a few kinds of images, drawn independently, each with two noisy views."""
    view = torch.full((kinds, kinds), noise / kinds, dtype=torch.float64) + (1.0 - noise) * torch.eye(kinds)
    joint = view.T @ view / kinds
    information = 2 * math.log(kinds) - torch.special.entr(joint).sum().item()
    batches = torch.cartesian_prod(*[torch.arange(kinds)] * (2 * images)).view(-1, 2, images)
    chance = joint[batches[:, 0], batches[:, 1]].prod(dim=1)
    assert chance.sum().item() == pytest.approx(1.0)
    batches, chance = batches[chance > 0.0], chance[chance > 0.0]
    found = []
    for z, temperature in itertools.product([torch.eye(kinds).double(), draw(kinds, 2, seed=0)], [0.05, 0.3, 1.0]):
        bounds = [nt_xent_with_top1(z[one], z[two], temperature).information_bound for one, two in batches]
        found.append((chance * torch.stack(bounds)).sum().item())
    assert max(found) <= information + 1e-9
    if noise == 0.0:
        assert max(found) > 0.1 * information, "says something"
    if images == 5:  # here, to take each image's second view for a draw of its own would say too much
        assert max(found) + math.log((2 * images - 1) / images) > information


def test_images_that_are_their_own_views_share_no_more_than_which_they_are() -> None:
    for images in (2, 8, 64):
        contrast = nt_xent_with_top1(torch.eye(images), torch.eye(images), 0.02)
        assert contrast.information_bound.item() <= math.log(images) + 1e-6


def test_simclr_logs_the_bound_over_its_whole_batch(small_data: Data) -> None:
    torch.manual_seed(0)
    simclr = SimCLRConfig(views=two_views(SIMCLR_SMALL), head=(8,), temperature=0.5).build(
        ConvNetConfig(width=4).build(plain(1, 16)), small_data
    )
    views, rows = torch.randn(2, B, 1, 16, 16), torch.arange(B)
    batch = Batch(views=(views[0], views[1]), index=rows, draws=Draws(rows, 0, "test"))
    z1, z2 = simclr.embed(batch)
    result = simclr(batch)
    by_hand = math.log(B) - slow_nt_xent(z1.tolist(), z2.tolist(), 0.5)
    assert result.logs["contrast/mutual_information_bound"].item() == pytest.approx(by_hand, rel=1e-4, abs=1e-5)


def test_info_nce_top1_and_limits() -> None:
    corners = torch.eye(4)
    assert info_nce_with_top1(corners, corners, -corners, 0.1).top1 == 1
    assert info_nce_with_top1(corners[:2], corners[:2], corners[1:2], 0.1).top1 == 0.5  # the second meets its twin
    assert info_nce(X, Y, SHARED, 1e7).item() == pytest.approx(math.log(K + 1), rel=1e-5)
    assert info_nce(X, Y, SHARED, 0.2).item() == pytest.approx(
        info_nce(X * 3, Y * 5, SHARED * 7, 0.2).item(), rel=1e-12
    )


def in_one_piece(z1: Tensor, z2: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return NT-Xent and top1 by torch's cross-entropy on the matrix of all similarities."""
    z = unit(torch.cat([z1, z2]))
    own = torch.arange(len(z))
    logits = (z / temperature @ z.T).fill_diagonal_(-torch.inf)
    partner = own.roll(len(z1))
    others = logits.detach().scatter(1, partner[:, None], -torch.inf).amax(dim=1)
    wins = logits.detach()[own, partner] > others
    return F.cross_entropy(logits, partner), wins.to(z.dtype).mean()


def term_by_term(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """Return NT-Xent as the paper's double loop, so that autograd makes the gradient term by term."""
    z = [x / x.norm() for x in torch.cat([z1, z2])]
    terms = []
    for i, a in enumerate(z):
        others = torch.stack([(a @ b / temperature).exp() for k, b in enumerate(z) if k != i])
        terms.append(others.sum().log() - a @ z[(i + len(z1)) % len(z)] / temperature)
    return torch.stack(terms).mean()


@pytest.mark.parametrize("rows", [1, 3, 5, 10, 13, 26, 1000])  # of 26 anchors: divisors, others, all, more
@pytest.mark.parametrize("temperature", [0.01, 0.3, 10.0])
def test_chunks_of_any_size_give_the_loss_and_gradient_of_the_whole(
    rows: int, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    z1, z2 = draw(13, 5, seed=20), draw(13, 5, seed=21)
    z2[:7] = z1[:7] + 0.1 * z2[:7]  # some partners win
    z2[3] = z1[3] = z1[2]  # and some tie
    monkeypatch.setattr(chunked, "CHUNK", rows * 26 + 25)
    for expected in (in_one_piece(z1, z2, temperature)[0], term_by_term(z1, z2, temperature)):
        assert_close(nt_xent(z1, z2, temperature), expected, rtol=1e-12, atol=1e-13)
    ours = gradients(lambda a, b: 3.0 * nt_xent(a, b, temperature), z1, z2)
    for formula in (lambda a, b: in_one_piece(a, b, temperature)[0], lambda a, b: term_by_term(a, b, temperature)):
        for mine, theirs in zip(ours, gradients(formula, z1, z2), strict=True):
            assert mine.dtype == torch.float64
            assert_close(mine, 3.0 * theirs, rtol=1e-10, atol=1e-12)
    top1 = nt_xent_with_top1(z1, z2, temperature).top1
    assert 0 < top1 < 1
    assert top1 == in_one_piece(z1, z2, temperature)[1]


@pytest.mark.parametrize("rows", [1, 2, 5, 6])
def test_queries_in_chunks_meet_the_whole_queue(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = gradients(lambda q, k, n: info_nce(q, k, n, 0.3), X, Y, SHARED)
    each_its_own = gradients(lambda q, k, n: info_nce(q, k, n.expand(B, K, D), 0.3), X, Y, SHARED)  # not in chunks
    whole = info_nce_with_top1(X, Y, SHARED, 0.3)
    monkeypatch.setattr(chunked, "CHUNK", rows * K)
    cut = info_nce_with_top1(X, Y, SHARED, 0.3)
    assert_close(cut.loss, whole.loss, rtol=1e-13, atol=0)
    assert 0 < cut.top1 == whole.top1 < 1
    ours = gradients(lambda q, k, n: info_nce(q, k, n, 0.3), X, Y, SHARED)
    for mine, one, other in zip(ours, expected, each_its_own, strict=True):
        assert_close(mine, one, rtol=1e-12, atol=1e-14)
        assert_close(mine, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("batch", [100, 1500])  # a single chunk, and three, the last of them short
def test_a_large_batch_in_float32(batch: int) -> None:
    z1, z2 = draw(batch, 16, seed=22).float(), draw(batch, 16, seed=23).float()
    z2 += 2 * z1
    assert_close(nt_xent(z1, z2, 0.1), in_one_piece(z1.double(), z2.double(), 0.1)[0].float(), rtol=2e-6, atol=0)
    expected = gradients(lambda a, b: in_one_piece(a, b, 0.1)[0], z1.double(), z2.double())
    for _ in range(2):
        ours = gradients(lambda a, b: nt_xent(a, b, 0.1), z1, z2)
        for mine, theirs in zip(ours, expected, strict=True):
            assert_close(mine.double(), theirs, rtol=1e-4, atol=float(1e-5 * theirs.abs().max()))
    again = gradients(lambda a, b: nt_xent(a, b, 0.1), z1, z2)
    assert all(torch.equal(one, other) for one, other in zip(ours, again, strict=True))


class LargestTensor(TorchDispatchMode):
    """Notes the largest tensor that any operation makes, forward or backward."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        for x in made if isinstance(made, tuple | list) else [made]:
            self.elements = max(self.elements, x.numel() if isinstance(x, Tensor) else 0)
        return made


def test_no_more_similarities_than_a_chunk_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "CHUNK", 4000)
    z1, z2, keys = draw(200, 8, seed=24), draw(200, 8, seed=25), draw(400, 8, seed=26)
    with LargestTensor() as largest:
        gradients(lambda a, b: nt_xent(a, b, 0.2), z1, z2)
    assert largest.elements == 4000
    with LargestTensor() as largest:
        gradients(lambda q, k: info_nce(q, k, keys, 0.2), z1, z2)
    assert largest.elements == 4000
    with LargestTensor() as largest:
        gradients(lambda a, b: in_one_piece(a, b, 0.2)[0], z1, z2)
    assert largest.elements == 400 * 400


def test_an_empty_row_of_probabilities_has_gradient_zero() -> None:
    """Negatives so far below the positive that their probability underflows."""
    corners = torch.eye(4)
    value = nt_xent(corners, corners, 0.005)
    assert value == 0
    assert all(
        torch.equal(g, torch.zeros(4, 4)) for g in gradients(lambda a, b: nt_xent(a, b, 0.005), corners, corners)
    )


def test_margin_triplet_is_zero_beyond_the_margin() -> None:
    corners = torch.eye(4)
    assert margin_triplet(corners, corners, 0.9) == 0
    assert margin_triplet(corners, corners, 1.5).item() == pytest.approx(0.5)


# ---- given pairs and triplets --------------------------------------------------------------------------------------


def test_identical_vectors_that_should_differ_have_a_finite_gradient() -> None:
    ones = torch.ones(1, D)
    different = torch.tensor([False])
    assert contrastive_pair(ones, ones, different, 2.0) == 4
    for gradient in gradients(lambda a, b: contrastive_pair(a, b, different, 2.0), ones, ones):
        assert torch.equal(gradient, torch.zeros(1, D))


def test_contrastive_pair_takes_zeros_and_ones() -> None:
    assert contrastive_pair(X, Y, SAME.long(), 3.5) == contrastive_pair(X, Y, SAME, 3.5)
    assert contrastive_pair(X, Y, torch.zeros(B, dtype=torch.bool), 0.0) == 0


def test_triplet_is_the_margin_where_positive_and_negative_agree() -> None:
    assert triplet(X, Y, Y, 0.7).item() == pytest.approx(0.7)
    assert triplet(X, X, X + 10, 0.7) == 0


def test_n_pair_of_equals_is_chance() -> None:
    assert n_pair(X, Y, Y[:, None].expand(B, K, D)).item() == pytest.approx(math.log(1 + K))


def test_one_anchor_is_enough() -> None:
    assert info_nce(X[:1], Y[:1], SHARED, 0.2).isfinite()
    assert n_pair(X[:1], Y[:1], SHARED).isfinite()
    assert triplet(X[:1], Y[:1], Z[:1], 0.2).isfinite()
    assert contrastive_pair(X[:1], Y[:1], SAME[:1], 0.2).isfinite()
    assert nce(RATIO[:1], NOISE[:1]).isfinite()


def test_nce_at_the_true_model() -> None:
    assert nce(torch.zeros(5), torch.zeros(5)).item() == pytest.approx(2 * math.log(2))
    expected = math.log(1 + K) + K * math.log(1 + 1 / K)
    assert nce(torch.zeros(5), torch.zeros(5, K)).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("noise_per_datum", [1, 4])
def test_nce_finds_the_log_normaliser(noise_per_datum: int) -> None:
    """The point of the paper: with an unnormalised Gaussian, the minimum over c is at minus the log of its integral."""
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(1000, generator=generator, dtype=torch.float64)
    noise = 2 * torch.randn(1000, noise_per_datum, generator=generator, dtype=torch.float64)

    def log_ratio(u: Tensor, c: Tensor) -> Tensor:
        return -u.square() / 2 + c + u.square() / 8 + math.log(2 * math.sqrt(2 * math.pi))

    c = torch.zeros((), dtype=torch.float64, requires_grad=True)
    for _ in range(30):
        (gradient,) = torch.autograd.grad(nce(log_ratio(data, c), log_ratio(noise, c)), c)
        c = (c - gradient).detach().requires_grad_()
    assert c.item() == pytest.approx(-math.log(math.sqrt(2 * math.pi)), abs=0.1)


# ---- classes -------------------------------------------------------------------------------------------------------

LABEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sup_con": lambda x, labels: sup_con(x, labels, 0.3),
    "soft_nearest_neighbor": lambda x, labels: soft_nearest_neighbor(x, labels, 2.0),
    "lifted_structured": lambda x, labels: lifted_structured(x, labels, 1.0),
    "lifted_structured as published": lambda x, labels: lifted_structured(x, labels, 1.0, half_square=True),
}
each_label_loss = pytest.mark.parametrize("loss", LABEL_LOSSES.values(), ids=LABEL_LOSSES.keys())


@each_label_loss
def test_samples_may_be_permuted_and_classes_renamed(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    order = torch.randperm(B, generator=torch.Generator().manual_seed(0))
    assert_close(loss(X, LABELS), loss(X[order], LABELS[order]), rtol=1e-12, atol=0)
    assert_close(loss(X, LABELS), loss(X, 10 - 3 * LABELS), rtol=1e-12, atol=0)


@each_label_loss
@pytest.mark.parametrize("batch", [1, B])
def test_no_positive_at_all_is_a_differentiable_zero(loss: Callable[[Tensor, Tensor], Tensor], batch: int) -> None:
    labels = torch.arange(batch)
    assert loss(X[:batch], labels) == 0
    (gradient,) = gradients(lambda x: loss(x, labels), X[:batch])
    assert torch.equal(gradient, torch.zeros_like(gradient))


@each_label_loss
def test_an_anchor_without_positive_is_left_out_of_the_mean_but_stays_a_negative(
    loss: Callable[[Tensor, Tensor], Tensor],
) -> None:
    lone = torch.cat([LABELS, torch.tensor([9])])
    far = torch.cat([X, torch.full((1, D), 1e3, dtype=torch.float64)])
    near = torch.cat([X, X[:1]])
    if loss is not LABEL_LOSSES["sup_con"]:  # by direction nothing is far
        assert_close(loss(far, lone), loss(X, LABELS), rtol=1e-9, atol=0)
    assert loss(near, lone) > loss(X, LABELS)


@each_label_loss
def test_one_class_only(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    labels = torch.zeros(B, dtype=torch.long)
    value = loss(X, labels)
    (gradient,) = gradients(lambda x: loss(x, labels), X)
    assert gradient.isfinite().all()
    if loss is LABEL_LOSSES["sup_con"]:
        assert value.item() == pytest.approx(slow_sup_con(X.tolist(), labels.tolist(), 0.3), rel=1e-10)
    else:
        assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-12)


def test_sup_con_with_one_positive_each_is_nt_xent() -> None:
    labels = torch.arange(B).repeat(2)
    assert_close(sup_con(torch.cat([X, Y]), labels, 0.2), nt_xent(X, Y, 0.2), rtol=1e-12, atol=0)


def test_soft_nearest_neighbor_at_high_temperature_counts() -> None:
    counts = [math.log(5 / 2)] * 3 + [math.log(5 / 1)] * 2  # five others, of which two or one of the own class
    assert soft_nearest_neighbor(X, LABELS, 1e9).item() == pytest.approx(mean(counts), rel=1e-6)


def test_log_sum_exp_of_nothing_is_finite() -> None:
    """A sum over no negatives would be log 0; it is left out of the mean, but must not reach the gradient as NaN."""
    mask = torch.tensor([[True, False, True], [False, False, False]])
    value = log_sum_exp(X[:2], mask)
    assert value[0].item() == pytest.approx(math.log(math.exp(X[0, 0]) + math.exp(X[0, 2])))
    assert value[1].isfinite()


def test_small_distances_survive_float32() -> None:
    """Computed from squared lengths, a distance of 1e-3 at a length of 1e3 would be noise."""
    x = draw(B, D, seed=9, scale=1e-3).float() + 1e3
    expected = slow_soft_nearest_neighbor(x.tolist(), LABELS.tolist(), 1e-5)
    assert soft_nearest_neighbor(x, LABELS, 1e-5).item() == pytest.approx(expected, rel=1e-5)


# ---- mining --------------------------------------------------------------------------------------------------------

DISTANCE = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0]]).repeat(3, 1)
NEGATIVE = torch.tensor([[False, True, True, True, True]] * 2 + [[False] * 5])


def test_hardest_negatives() -> None:
    mined = hardest_negatives(DISTANCE, NEGATIVE)
    assert mined.column.tolist() == [1, 1, 0]
    assert mined.found.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("positive", "margin", "column", "found"),
    [
        (1.5, math.inf, 2, True),  # the nearest of the farther ones
        (2.0, math.inf, 3, True),  # as far as the positive isn't farther
        (1.5, 0.4, 4, False),  # none within the margin: the farthest
        (0.5, 0.5, 4, False),  # at the margin isn't within it
        (9.0, math.inf, 4, False),  # all are nearer: the farthest
        (0.5, 0.6, 1, True),
    ],
)
def test_semi_hard_negatives(positive: float, margin: float, column: int, found: bool) -> None:
    mined = semi_hard_negatives(DISTANCE, torch.full((3,), positive), NEGATIVE, margin)
    assert mined.column.tolist() == [column, column, 0]
    assert mined.found.tolist() == [found, found, False]


def test_mining_takes_no_gradient() -> None:
    distance_BN = DISTANCE.clone().requires_grad_()
    assert not hardest_negatives(distance_BN, NEGATIVE).column.requires_grad


# ---- wrong arguments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nt_xent(X, Y, 0.0), r"^temperature must be a finite number above 0; got 0\.0$"),
        (lambda: nt_xent_with_top1(X, Y, math.nan), r"^temperature must be a finite number above 0; got nan$"),
        (lambda: nt_logistic(X, Y, -1.0), r"^temperature must be a finite number above 0; got -1\.0$"),
        (lambda: info_nce(X, Y, SHARED, math.inf), r"^temperature must be a finite number above 0; got inf$"),
        (lambda: sup_con(X, LABELS, 0.0), r"^temperature must be a finite number above 0; got 0\.0$"),
        (lambda: soft_nearest_neighbor(X, LABELS, -2.0), r"^temperature must be a finite number above 0; got -2\.0$"),
        (lambda: contrastive_pair(X, Y, SAME, -1.0), r"^margin must be a finite number, 0 or above; got -1\.0$"),
        (lambda: triplet(X, Y, Z, -0.1), r"^margin must be a finite number, 0 or above; got -0\.1$"),
        (lambda: margin_triplet(X, Y, math.nan), r"^margin must be a finite number, 0 or above; got nan$"),
        (lambda: lifted_structured(X, LABELS, -1.0), r"^margin must be a finite number, 0 or above; got -1\.0$"),
        (
            lambda: nt_xent(X, Y[1:], 0.1),
            r"^z1 and z2 must be floating \[B, D\] of one shape; got z1 \[6, 3\] float64, z2 \[5, 3\] float64$",
        ),
        (lambda: nt_xent(X[:0], Y[:0], 0.1), r"^z1 and z2 must be .*; got z1 \[0, 3\] float64, z2 \[0, 3\] float64$"),
        (lambda: nt_xent(X[0], Y[0], 0.1), r"^z1 and z2 must be .*; got z1 \[3\] float64"),
        (lambda: nt_xent(X.long(), Y.long(), 0.1), r"^z1 and z2 must be .*; got z1 \[6, 3\] int64"),
        (
            lambda: triplet(X, Y, Z[:, 1:], 0.1),
            r"^anchor and positive and negative must be .* negative \[6, 2\] float64$",
        ),
        (
            lambda: sup_con(OWN, LABELS, 0.1),
            r"^embeddings must be floating \[B, D\]; got embeddings \[6, 4, 3\] float64$",
        ),
        (lambda: sup_con(X, LABELS[1:], 0.1), r"^labels must be integer or boolean \[6\]; got \[5\] int64$"),
        (lambda: lifted_structured(X, RATIO, 0.1), r"^labels must be integer or boolean \[6\]; got \[6\] float64$"),
        (
            lambda: contrastive_pair(X, Y, SAME[:, None], 0.1),
            r"^same must be integer or boolean \[6\]; got \[6, 1\] bool$",
        ),
        (
            lambda: info_nce(X, Y, SHARED[:0], 0.1),
            r"^negatives must be floating \[K, 3\], or \[6, K, 3\], with K >= 1; got \[0, 3\] float64$",
        ),
        (lambda: n_pair(X, Y, OWN[1:]), r"^negatives must be .*; got \[5, 4, 3\] float64$"),
        (lambda: n_pair(X, Y, SHARED[:, 1:]), r"^negatives must be .*; got \[4, 2\] float64$"),
        (
            lambda: nce(RATIO, NOISE[1:]),
            r"^log-ratios must be \[B\] for the data and \[B\] or \[B, K\] for the noise, K >= 1; "
            r"got \[6\] float64 and \[5, 4\] float64$",
        ),
        (lambda: nce(RATIO, NOISE[:, :0]), r"^log-ratios must be .*\[6, 0\] float64$"),
        (lambda: margin_triplet(X, Y, 0.1, "hard"), r"^mining must be one of none, semi-hard, hardest; got 'hard'$"),
        (lambda: nt_logistic(X, Y, 0.1, "semi"), r"^mining must be one of none, semi-hard, hardest; got 'semi'$"),
        (lambda: hardest_negatives(DISTANCE, NEGATIVE.long()), r"^distances must be \[B, N\] and the mask .* int64$"),
        (
            lambda: hardest_negatives(DISTANCE, NEGATIVE[1:]),
            r"^distances must be \[B, N\] and the mask .* \[2, 5\] bool$",
        ),
        (
            lambda: semi_hard_negatives(DISTANCE, torch.zeros(2), NEGATIVE),
            r"^positive distances must be \[3\]; got \[2\] float32$",
        ),
        (
            lambda: semi_hard_negatives(DISTANCE, torch.zeros(3), NEGATIVE, -1.0),
            r"^margin must be 0 or above; got -1\.0$",
        ),
    ],
)
def test_wrong_arguments_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_the_entropy_of_the_choice_is_that_of_the_softmax() -> None:
    z1, z2 = torch.randn(2, 7, 5, dtype=torch.float64)
    for cosine in (True, False):
        views = torch.cat([z1, z2])
        views = views / views.norm(dim=1, keepdim=True) if cosine else views
        expected = []
        for i in range(14):
            scores = [float(views[i] @ views[j]) / 0.3 for j in range(14) if j != i]
            total = sum(math.exp(s) for s in scores)
            p = [math.exp(s) / total for s in scores]
            expected.append(-sum(q * math.log(q) for q in p))
        found = nt_xent_with_top1(z1, z2, 0.3, cosine=cosine).entropy
        assert found.item() == pytest.approx(sum(expected) / 14, rel=1e-10)
    queue = torch.randn(11, 5, dtype=torch.float64)
    shared = info_nce_with_top1(z1, z2, queue, 0.3).entropy
    own = info_nce_with_top1(z1, z2, queue.expand(7, 11, 5), 0.3).entropy
    torch.testing.assert_close(shared, own)
    alone = nt_xent_with_top1(z1[:1], z2[:1], 0.3).entropy
    assert alone.item() == 0.0


def test_nt_xent_by_dot_product_against_a_double_loop() -> None:
    z1, z2 = torch.randn(2, 6, 4, dtype=torch.float64)
    views = torch.cat([z1, z2])
    terms = []
    for i in range(12):
        scores = [float(views[i] @ views[j]) / 2.0 for j in range(12)]
        terms.append(math.log(sum(math.exp(s) for j, s in enumerate(scores) if j != i)) - scores[(i + 6) % 12])
    assert nt_xent(z1, z2, 2.0, cosine=False).item() == pytest.approx(sum(terms) / 12, rel=1e-10)
    huge = nt_xent(1e3 * z1, 1e3 * z2, 1.0, cosine=False)
    assert huge.isfinite()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mining": "semi-hard"}, "mining 'semi-hard' is for nt-logistic and margin-triplet"),
        ({"loss": "nt-logistic", "cosine": False}, "cosine false is for nt-xent; nt-logistic compares by cosine only"),
    ],
)
def test_simclr_refuses_options_that_its_loss_would_ignore(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SimCLRConfig.checked(**fields)
