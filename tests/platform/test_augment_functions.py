"""Each operation's pure function against torchvision's, image by image, for given parameters."""

from itertools import permutations

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as torchvision

from unlabeled.platform.augment import separable
from unlabeled.platform.augment.color import ColorDrop, Solarize, color_jitter, luminance, turn_hue
from unlabeled.platform.augment.filters import GaussianNoise, blur, kernel_px, sobel
from unlabeled.platform.augment.spatial import Flip, crop, cutout, rotate90
from unlabeled.platform.errors import UserError

IN_ORDER = torch.arange(4)
UNCHANGED = torch.tensor([1.0, 1.0, 1.0, 0.0])


def some_images(channels: int, height: int = 20, width: int = 20, batch: int = 24) -> Tensor:
    """Noise, smooth pictures, and pictures of few exact colours: black, white, greys, and pure hues."""
    generator = torch.Generator().manual_seed(7)
    noise = torch.rand(batch // 3, channels, height, width, generator=generator)
    coarse = torch.rand(batch // 3, channels, 3, 3, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    exact = torch.randint(0, 3, (batch // 3, channels, height, width), generator=generator) / 2
    return torch.cat((noise, smooth, exact))


def one_by_one(images: Tensor, function, *parameters) -> Tensor:
    rows = zip(images, *(values.tolist() for values in parameters), strict=True)
    return torch.stack([function(image, *given) for image, *given in rows])


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


def amounts(column: int, values: Tensor) -> Tensor:
    table = UNCHANGED.repeat(len(values), 1)
    table[:, column] = values
    return table


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(20, 20), (15, 26)])
@pytest.mark.parametrize(("new_height", "new_width"), [(20, 20), (7, 9), (33, 40)])
def test_crop_is_torchvisions_resized_crop_with_antialiasing(channels, height, width, new_height, new_width):
    images = some_images(channels, height, width)
    generator = torch.Generator().manual_seed(1)
    size = torch.stack([torch.randint(1, side + 1, (24,), generator=generator) for side in (height, width)], dim=1)
    room = torch.tensor([height, width]) - size + 1
    box = torch.cat(((torch.rand(24, 2, generator=generator) * room).long(), size), dim=1)
    box[0] = torch.tensor([0, 0, height, width])
    box[1] = torch.tensor([height - 1, width - 1, 1, 1])

    def theirs(image, top, left, box_height, box_width):
        new = [new_height, new_width]
        return torchvision.resized_crop(image, top, left, box_height, box_width, new, antialias=True)

    close(crop(images, box, new_height, new_width), one_by_one(images, theirs, *box.unbind(1)))


@pytest.mark.parametrize("side", [20, 140])
def test_crop_of_the_whole_image_at_its_size_is_the_image(side):
    images = some_images(3, side, side)
    assert torch.equal(crop(images, torch.tensor([[0, 0, side, side]]).expand(24, 4), side, side), images)


@pytest.mark.parametrize(("height", "width", "size"), [(150, 200, 64), (20, 30, 140)])
def test_large_crops_are_those_of_small_pictures(height, width, size, monkeypatch):
    """Cut one by one, of floats or of bytes, they are what the products with matrices make; so is the blur by tiles."""
    images = some_images(3, height, width, batch=6).mul(255).byte()
    box = torch.tensor([[3, 5, 9, 7], [0, 0, height, width], [1, 2, 17, 25], [height - 1, width - 1, 1, 1]])
    box = torch.cat((box, box[:2]))
    made = crop(images, box, size, size)
    assert torch.equal(made, crop(images.float() / 255, box, size, size))
    monkeypatch.setattr(separable, "_LARGE_PX", 1000)
    close(made, crop(images, box, size, size), 3e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_blur_of_large_images_is_torchvisions(channels):
    images, sigma = some_images(channels, 135, 64, batch=6), torch.linspace(0.1, 2.0, 6)
    for kernel in (3, 13, 23):
        theirs = one_by_one(images, lambda image, s: torchvision.gaussian_blur(image, [kernel] * 2, [s, s]), sigma)  # noqa: B023
        close(blur(images, sigma, kernel), theirs)
    assert blur(images[:0], sigma[:0], 5).shape == (0, channels, 135, 64)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kernel", [3, 5, 9])
def test_blur_is_torchvisions(channels, kernel):
    images = some_images(channels, 15, 26)
    sigma = torch.linspace(0.1, 2.0, 24)
    theirs = one_by_one(images, lambda image, s: torchvision.gaussian_blur(image, [kernel, kernel], [s, s]), sigma)
    close(blur(images, sigma, kernel), theirs)


@pytest.mark.parametrize(("side", "kernel"), [(28, 3), (32, 3), (8, 3), (64, 7), (96, 9), (224, 23)])
def test_blur_kernel_is_a_tenth_of_the_image(side, kernel):
    assert kernel_px(side) == kernel


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("column", "theirs"),
    [(0, torchvision.adjust_brightness), (1, torchvision.adjust_contrast), (2, torchvision.adjust_saturation)],
)
def test_jitter_of_one_kind_is_torchvisions(channels, column, theirs):
    images, factor = some_images(channels), torch.linspace(0.0, 2.0, 24)
    ours = color_jitter(images, amounts(column, factor), IN_ORDER.repeat(24, 1))
    close(ours, one_by_one(images, theirs, factor))


def test_hue_is_torchvisions():
    images, turn = some_images(3), torch.linspace(-0.5, 0.5, 24)
    theirs = one_by_one(images, torchvision.adjust_hue, turn)
    close(turn_hue(images, turn), theirs)
    close(color_jitter(images, amounts(3, turn), IN_ORDER.repeat(24, 1)), theirs)


def test_hue_of_nearly_grey_pixels_is_finite_and_right():
    images = some_images(3) * 1e-6 + 0.5
    close(turn_hue(images, torch.linspace(-0.5, 0.5, 24)), images, 2e-6)
    black = torch.zeros(24, 3, 9, 9)
    close(turn_hue(black, torch.linspace(-0.5, 0.5, 24)), black, 1e-9)


def test_grey_images_have_no_hue_and_no_saturation():
    images = some_images(1)
    jittered = color_jitter(images, torch.tensor([[1.0, 1.0, 0.3, 0.4]]).expand(24, 4), IN_ORDER.repeat(24, 1))
    close(jittered, images, 1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_follows_each_samples_own_order(channels):
    images, orders = some_images(channels), torch.tensor(list(permutations(range(4))))
    generator = torch.Generator().manual_seed(2)
    given = torch.rand(24, 4, generator=generator) * torch.tensor([1.6, 1.6, 1.6, 0.8]) + torch.tensor(
        [0.2, 0.2, 0.2, -0.4]
    )
    kinds = (
        torchvision.adjust_brightness,
        torchvision.adjust_contrast,
        torchvision.adjust_saturation,
        torchvision.adjust_hue,
    )
    theirs = []
    for image, order, amount in zip(images, orders.tolist(), given.tolist(), strict=True):
        for kind in order:
            image = kinds[kind](image, amount[kind])
        theirs.append(image)
    before = images.clone()
    close(color_jitter(images, given, orders), torch.stack(theirs), 2e-5)
    assert torch.equal(images, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_is_torchvisions(channels):
    images = some_images(channels)
    close(luminance(images), torchvision.rgb_to_grayscale(images, num_output_channels=1))
    close(ColorDrop().apply(images), torchvision.rgb_to_grayscale(images, num_output_channels=channels))


@pytest.mark.parametrize("channels", [1, 3])
def test_flip_solarize_and_quarter_turns_are_torchvisions(channels):
    images = some_images(channels)
    assert torch.equal(Flip().apply(images), torchvision.horizontal_flip(images))
    assert torch.equal(Solarize(threshold=0.5).apply(images), torchvision.solarize(images, 0.5))
    turns = torch.arange(24) % 4
    theirs = one_by_one(images, lambda image, turn: torchvision.rotate(image, 90.0 * turn), turns)
    close(rotate90(images, turns), theirs)


def test_quarter_turns_need_square_images():
    with pytest.raises(UserError, match="Rotate90 needs square images, got 15 x 26 pixels; crop them first"):
        rotate90(some_images(1, 15, 26), torch.ones(24, dtype=torch.int64))


@pytest.mark.parametrize("channels", [1, 3])
def test_cutout_is_torchvisions_erase(channels):
    images = some_images(channels, 15, 26)
    box = torch.stack(
        (torch.arange(24) % 15 - 4, torch.arange(24) - 4, torch.full((24,), 8), torch.full((24,), 6)), dim=1
    )

    def theirs(image, top, left, height, width):
        bottom, right = top + height, left + width
        top, left = max(top, 0), max(left, 0)
        return torchvision.erase(image, top, left, bottom - top, right - left, torch.tensor(0.5))

    assert torch.equal(cutout(images, box, 0.5), one_by_one(images, theirs, *box.unbind(1)))


def test_noise_is_torchvisions(monkeypatch):
    images, noise = some_images(3), torch.randn(24, 3, 20, 20, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr(torch, "randn_like", lambda _: noise)
    close(GaussianNoise(sigma=0.2).apply(images, noise), torchvision.gaussian_noise(images, 0.0, 0.2, clip=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_sobel_is_scipys(channels):
    images = some_images(channels, 15, 26)
    planes = images.flatten(0, 1).numpy()
    across, down = (np.stack([scipy.ndimage.sobel(plane, axis, mode="nearest") for plane in planes]) for axis in (1, 0))
    theirs = torch.from_numpy(np.hypot(across, down) / 4).clamp(max=1.0)
    close(sobel(images), theirs.view_as(images))
