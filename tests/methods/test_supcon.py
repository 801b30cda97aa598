"""SupCon against its paper's equation, term by term."""

import math
from dataclasses import replace

import pytest
import torch
from formats import plain
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.losses import nt_xent
from unlabeled.methods.losses.labelled import sup_con_with_top1
from unlabeled.methods.supervised.supcon import SupCon, SupConConfig
from unlabeled.platform.data import DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.method import Batch

B = 6
LABELS = torch.tensor([3, 1, 3, 3, 0, 1])


def build(**fields: object) -> SupCon:
    torch.manual_seed(0)
    config = SupConConfig.checked(**{"head": (12, 6), "temperature": 0.3, **fields})
    return config.build(ConvNetConfig(width=4).build(plain(1, 16)), load(DataConfig(train_images=256))).double()


def batch_of(labels: Tensor = LABELS) -> Batch:
    views = torch.randn(2, B, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = torch.arange(B)
    return Batch(views=(views[0], views[1]), index=rows, draws=Draws(rows, 0, 0), targets={"class": labels})


def equation_2(z: Tensor, labels: list[int], temperature: float) -> tuple[Tensor, float]:
    """Return L_out over anchors' mean, and how often the nearest other view has the anchor's class."""
    z = torch.stack([row / row.square().sum().sqrt() for row in z])
    terms, nearest = [], []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]  # A(i)
        positives = [p for p in others if labels[p] == labels[i]]  # P(i)
        total = sum(((z[i] @ z[a]) / temperature).exp() for a in others)
        terms.append(sum(-(((z[i] @ z[p]) / temperature).exp() / total).log() for p in positives) / len(positives))
        nearest.append(max(others, key=lambda a: float((z[i] @ z[a]).detach())))
    top1 = sum(labels[i] == labels[nearest[i]] for i in range(len(z))) / len(z)
    return torch.stack([torch.as_tensor(term) for term in terms]).mean(), top1


@pytest.mark.parametrize("head", [(12, 6), (6,), ()])
def test_loss_gradients_and_top1_are_the_papers(head: tuple[int, ...]) -> None:
    ours, theirs = build(head=head), build(head=head)
    batch = batch_of()
    result = ours(batch)
    result.loss.backward()

    r = theirs.encoder(torch.cat(batch.views))
    r = r / r.square().sum(dim=1, keepdim=True).sqrt()  # sec. 3.1: on the unit sphere before Proj, too
    expected, top1 = equation_2(theirs.head[1](r), [*LABELS.tolist()] * 2, 0.3)
    expected.backward()  # type: ignore[no-untyped-call]
    assert_close(result.loss, expected, rtol=1e-10, atol=1e-10)
    assert result.logs["contrast/top1"].item() == pytest.approx(top1)
    for name, parameter in theirs.named_parameters():
        assert_close(ours.get_parameter(name).grad, parameter.grad, rtol=1e-8, atol=1e-10)


def test_where_every_image_is_a_class_of_its_own_it_is_nt_xent() -> None:
    supcon, batch = build(), batch_of(torch.arange(B))
    assert_close(supcon(batch).loss, nt_xent(*supcon.embed(batch), 0.3), rtol=1e-12, atol=0)


def test_swapping_the_views_changes_nothing() -> None:
    supcon, batch = build(), batch_of()
    swapped = replace(batch, views=batch.views[::-1])
    assert_close(supcon(batch).loss, supcon(swapped).loss, rtol=1e-10, atol=0)


def test_the_heads_of_the_paper_have_no_batch_norm() -> None:
    data = load(DataConfig(train_images=256))
    head = SupConConfig().build(ConvNetConfig(width=4).build(plain(1, 28)), data).head
    assert [tuple(p.shape) for p in head.parameters()] == [(2048, 32), (2048,), (128, 2048), (128,)]
    assert not list(head.buffers())


def test_the_length_of_the_features_does_not_matter() -> None:
    supcon = build()
    h = torch.randn(B, supcon.encoder.dim, dtype=torch.float64)
    assert_close(supcon.head(h), supcon.head(100.0 * h), rtol=1e-12, atol=1e-14)


# ---- the loss's top-1 ----------------------------------------------------------------------------------------------


def test_top1_is_one_where_classes_stand_apart_and_zero_where_they_are_mixed() -> None:
    corners = torch.eye(3, dtype=torch.float64)
    apart, mixed = corners[[0, 0, 1, 1]], corners[[0, 1, 0, 1]]
    labels = torch.tensor([5, 5, 7, 7])
    assert sup_con_with_top1(apart, labels, 0.1)[1] == 1
    assert sup_con_with_top1(mixed, labels, 0.1)[1] == 0
    assert sup_con_with_top1(corners[[0, 0, 0, 0]], labels, 0.1)[1] == 0, "a tie counts against it"


def test_top1_and_loss_leave_out_what_has_no_partner() -> None:
    corners = torch.eye(3, dtype=torch.float64)
    loss, top1 = sup_con_with_top1(corners[[0, 0, 1]], torch.tensor([5, 5, 7]), 0.5)
    assert top1 == 1
    assert loss.item() == pytest.approx(-math.log(math.exp(2.0) / (math.exp(2.0) + 1.0)))
    assert [float(each) for each in sup_con_with_top1(corners, torch.arange(3), 0.5)] == [0.0, 0.0]


def test_in_a_single_class_every_anchor_is_nearest_to_it() -> None:
    assert sup_con_with_top1(torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.int64), 0.5)[1] == 1
