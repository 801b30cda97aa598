"""What every operation promises: ranges, firing rate, independence, and draws that belong to the sample alone."""

import re

import numpy as np
import pytest
import scipy.stats
import torch
from pydantic import ValidationError
from torch import Tensor
from torchvision.transforms.v2 import RandomResizedCrop

from unlabeled.platform.augment import (
    ColorDrop,
    ColorJitter,
    Crop,
    Cutout,
    Extent,
    Flip,
    GaussianBlur,
    GaussianNoise,
    Op,
    Rotate90,
    Sobel,
    Solarize,
)
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import explain

KINDS: list[type[Op]] = [
    Crop,
    Flip,
    ColorDrop,
    ColorJitter,
    Rotate90,
    Cutout,
    GaussianNoise,
    GaussianBlur,
    Sobel,
    Solarize,
]
MANY = 4000


def draws(count: int = MANY, seed: int = 0) -> Draws:
    return Draws(torch.arange(count), seed)


def some_images(count: int, channels: int = 3, side: int = 12) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(5))


def changed(op: Op, images: Tensor, given: Draws) -> Tensor:
    return (op(images, given) != images).flatten(1).any(dim=1)


def test_every_kind_is_tested_here():
    assert set(KINDS) == set(Op.family.values())


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.8])
@pytest.mark.parametrize("kind", KINDS)
def test_fires_as_often_as_it_says(kind, p):
    fired = int(changed(kind(p=p), some_images(MANY, side=9), draws()).sum())
    if kind is Crop:  # now and then a box is the whole image
        fired += round(MANY * p * 0.005)
    low, high = scipy.stats.binom.interval(1 - 1e-5, MANY, p) if p else (0, 0)
    assert low - MANY * 0.005 * (kind is Crop) <= fired <= high


@pytest.mark.parametrize(
    ("kind", "p"),
    [(Crop, 1.0), (Flip, 0.5), (ColorDrop, 0.2), (ColorJitter, 0.8), (Rotate90, 0.75), (GaussianBlur, 0.5)],
)
def test_default_firing_rates_are_the_papers(kind, p):
    assert kind().p == p


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_samples_draws_are_its_own_however_the_batch_is_split(kind, channels):
    images, rows = some_images(60, channels), torch.randperm(60, generator=torch.Generator().manual_seed(3))
    op = kind(p=0.7)
    together = op(images, Draws(torch.arange(60), 9, "view"))
    for part in rows.split([1, 7, 52]):
        alone = op(images[part], Draws(part, 9, "view"))
        torch.testing.assert_close(alone, together[part], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in (Sobel, Solarize, ColorDrop, Flip)])
def test_samples_seeds_and_scopes_draw_apart(kind):
    op, images = kind(p=1.0), some_images(1).expand(300, -1, -1, -1)
    different = {picture.numpy().tobytes() for picture in op(images, draws(300))}
    assert len(different) > (2 if kind is Rotate90 else 60)
    for other in (draws(300, seed=1), draws(300).fold_in("view", 1)):
        same = (op(images, draws(300)) == op(images, other)).flatten(1).all(dim=1).float().mean()
        assert same < 0.5
    assert torch.equal(op(images, draws(300)), op(images, draws(300)))


def test_crop_boxes_are_distributed_as_torchvisions():
    torch.manual_seed(0)
    theirs_crop = RandomResizedCrop(32)
    images = torch.zeros(1, 3, 32, 32)
    made = [theirs_crop.make_params([images]) for _ in range(MANY)]
    theirs = np.array([[one["top"], one["left"], one["height"], one["width"]] for one in made])
    (boxes,) = Crop().parameters(Extent(3, (32, 32)), draws())
    ours = boxes.numpy()
    for measure in (
        lambda box: box[:, 2] * box[:, 3],
        lambda box: np.log(box[:, 3] / box[:, 2]),
        lambda box: box[:, 0],
        lambda box: box[:, 1],
        lambda box: box[:, 0] + box[:, 2],
    ):
        assert scipy.stats.ks_2samp(measure(ours), measure(theirs)).pvalue > 1e-3


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 90), (90, 20)])
def test_crop_boxes_lie_in_the_image_and_in_the_ranges(height, width):
    (box,) = Crop(area=(0.2, 0.9)).parameters(Extent(3, (height, width)), draws())
    top, left, box_height, box_width = box.unbind(1)
    assert int(box.min()) >= 0
    assert int(torch.minimum(box_height, box_width).min()) >= 1
    assert int((top + box_height).max()) <= height
    assert int((left + box_width).max()) <= width
    if height == width:
        area = box_height * box_width / (height * width)
        assert 0.18 < float(area.min()) < 0.25
        assert 0.85 < float(area.max()) < 0.93
        aspect = box_width / box_height
        assert 0.68 < float(aspect.min()) < 0.78
        assert 1.28 < float(aspect.max()) < 1.46


@pytest.mark.parametrize(("height", "width"), [(10, 100), (100, 10), (40, 40)])
def test_crop_that_fits_nowhere_falls_back_as_torchvisions(height, width):
    impossible = {"scale": (1.0, 1.0), "ratio": (2.0, 2.0)} if height == width else {"scale": (0.99, 1.0)}
    theirs = RandomResizedCrop(32, **impossible).make_params([torch.zeros(1, 3, height, width)])
    op = Crop(area=impossible["scale"], aspect=impossible.get("ratio", (3 / 4, 4 / 3)))
    (box,) = op.parameters(Extent(3, (height, width)), draws(5))
    assert box.tolist() == [[theirs["top"], theirs["left"], theirs["height"], theirs["width"]]] * 5


def test_crop_resizes_every_image_even_where_it_does_not_fire():
    images = some_images(50, side=10)
    assert Crop(size=16, p=0.5)(images, draws(50)).shape == (50, 3, 16, 16)
    assert Crop(size=6)(images, draws(50)).shape == (50, 3, 6, 6)


def test_jitter_amounts_fill_their_ranges_and_orders_are_uniform():
    op = ColorJitter(brightness=0.4, contrast=1.5, saturation=0.2, hue=0.1)
    amounts, order = op.parameters(Extent(3, (12, 12)), draws())
    for column, (low, high) in enumerate([(0.6, 1.4), (0.0, 2.5), (0.8, 1.2), (-0.1, 0.1)]):
        assert scipy.stats.kstest(amounts[:, column].numpy(), "uniform", args=(low, high - low)).pvalue > 1e-3
    _, counts = np.unique(order.numpy(), axis=0, return_counts=True)
    assert len(counts) == 24
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_jitter_strength_is_simclrs():
    assert ColorJitter.of_strength(0.5) == ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8)


def test_other_parameters_fill_their_ranges():
    (sigma,) = GaussianBlur().parameters(Extent(3, (12, 12)), draws())
    assert scipy.stats.kstest(sigma.numpy(), "uniform", args=(0.1, 1.9)).pvalue > 1e-3
    (noise,) = GaussianNoise().parameters(Extent(1, (2, 2)), draws())
    assert scipy.stats.kstest(noise.flatten().numpy(), "norm").pvalue > 1e-3
    (turns,) = Rotate90().parameters(Extent(3, (12, 12)), draws())
    assert scipy.stats.chisquare(np.bincount(turns.numpy(), minlength=4)[1:]).pvalue > 1e-3
    (box,) = Cutout(side=0.5).parameters(Extent(3, (12, 12)), draws())
    assert scipy.stats.chisquare(np.bincount(box[:, 0].numpy() + 3, minlength=12)).pvalue > 1e-3
    assert box[:, 2:].unique().tolist() == [6]


def test_fires_apart_from_what_it_draws():
    """A jitter that fires must not be the one with a small first amount: both come from draws of one name."""
    op, given = ColorJitter(p=0.5), draws()
    amounts, _ = op.parameters(Extent(3, (12, 12)), given)
    fired = given.bernoulli(op.p)
    for column in amounts.unbind(1):
        assert scipy.stats.ks_2samp(column[fired].numpy(), column[~fired].numpy()).pvalue > 1e-3


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (Flip, {"p": 1.5}, "p: Input should be less than or equal to 1, got 1.5"),
        (ColorJitter, {"p": -0.1}, "p: Input should be greater than or equal to 0, got -0.1"),
        (Crop, {"area": (0.9, 0.2)}, r"area: a range goes from low to high; write \(0.2, 0.9\), got \(0.9, 0.2\)"),
        (Crop, {"area": (0.0, 1.0)}, "area.0: Input should be greater than 0, got 0.0"),
        (Crop, {"area": (0.2, 2.0)}, "area.1: Input should be less than or equal to 1, got 2.0"),
        (Crop, {"aspect": ()}, "aspect.0: a value is needed; aspect.1: a value is needed"),
        (Crop, {"size": 0}, "size: Input should be greater than or equal to 1, got 0"),
        (ColorJitter, {"hue": 0.6}, "hue: Input should be less than or equal to 0.5, got 0.6"),
        (GaussianBlur, {"sigma": (2.0, 0.1)}, r"sigma: a range goes from low to high; write \(0.1, 2\)"),
        (GaussianBlur, {"kernel": 3}, "there is no field 'kernel' in GaussianBlur"),
        (GaussianNoise, {"sigma": float("nan")}, "sigma: "),
    ],
)
def test_a_bad_value_is_one_clear_line(kind, fields, message):
    with pytest.raises(ValidationError) as caught:
        kind(**fields)
    line = explain(caught.value)
    assert "\n" not in line
    assert re.search(message, line), line
