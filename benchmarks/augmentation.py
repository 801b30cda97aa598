"""How fast are views made?

Measured: the CPU time, on one thread, of two views by SimCLR's policy for small images (crop, flip, colour jitter,
colour drop) of 256 uint8 pictures, colour at 32 px and grey at 28 px, against the same operations of torchvision v2 on
the tensors one by one, and of kornia on the batch where it is installed (it is no dependency of ours). The outputs are
float32 in [0, 1] on all sides.
Target: at least 5 times torchvision's views per second, and not slower than kornia.
"""

import importlib.util
import statistics
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torchvision.transforms import v2

from benchmarks.compare import Row, cpu_in_turns, one_thread, paired_ratio
from unlabeled.platform.augment import SIMCLR_SMALL, ColorDrop, ColorJitter, Crop, Flip, two_views
from unlabeled.platform.draws import Draws

IMAGES = 256
ROUNDS = 7
TARGETS = {"torchvision": 5.0, "kornia": 1.0}


def rows() -> Iterator[Row]:
    with one_thread():
        for what, channels, px in (("colour", 3, 32), ("grey", 1, 28)):
            yield from _rows(what, channels, px)


def _rows(what: str, channels: int, px: int) -> Iterator[Row]:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(256, (IMAGES, channels, px, px), generator=generator, dtype=torch.uint8)
    plan = two_views(SIMCLR_SMALL)
    rows = torch.arange(IMAGES)
    works: dict[str, Callable[[], object]] = {
        "ours": lambda: plan({"image": pictures}, Draws(rows, 0, "benchmark")),
        "torchvision": lambda: one_by_one(torchvision(px), pictures),
    }
    absent = {}
    if channels == 1:
        absent["kornia"] = "kornia's jitter takes no grey pictures"
    elif importlib.util.find_spec("kornia") is None:
        absent["kornia"] = "kornia is not installed"
    else:
        batched = kornia(px)
        works["kornia"] = lambda: [batched(pictures.float().div_(255.0)) for _ in range(2)]
    seconds = dict(zip(works, cpu_in_turns(*works.values(), rounds=ROUNDS), strict=True))
    speed = {name: 2 * IMAGES / statistics.median(each) for name, each in seconds.items()}
    for name, target in TARGETS.items():
        if name in absent:
            yield Row(f"two views, {what} {px} px", f"{speed['ours']:,.0f} views/s", absent[name])
            continue
        ratio = paired_ratio(seconds[name], seconds["ours"])
        yield Row.of_ratio(
            what=f"two views, {what} {px} px",
            ours=f"{speed['ours']:,.0f} views/s",
            reference=f"{speed[name]:,.0f} views/s, {name}",
            ratio=ratio,
            least=target,
        )


def torchvision(px: int) -> Callable[[Tensor], Tensor]:
    """Make the policy of torchvision's transforms. Floats come first: on uint8 each step would round."""
    crop, flip, jitter, drop = operations()
    amounts = jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue
    made: Callable[[Tensor], Tensor] = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomResizedCrop(px, scale=crop.area, ratio=crop.aspect, antialias=True),
            v2.RandomHorizontalFlip(flip.p),
            v2.RandomApply([v2.ColorJitter(*amounts)], p=jitter.p),
            v2.RandomGrayscale(drop.p),
        ]
    )
    return made


def kornia(px: int) -> Callable[[Tensor], Tensor]:
    """Make the policy of kornia's augmentations, with draws of its own for each sample."""
    import kornia.augmentation as K

    crop, flip, jitter, drop = operations()
    amounts = jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue
    made: Callable[[Tensor], Tensor] = K.AugmentationSequential(
        K.RandomResizedCrop((px, px), scale=crop.area, ratio=crop.aspect),
        K.RandomHorizontalFlip(p=flip.p),
        K.ColorJitter(*amounts, p=jitter.p),
        K.RandomGrayscale(p=drop.p),
    )
    return made


def one_by_one(transform: Callable[[Tensor], Tensor], pictures: Tensor) -> list[Tensor]:
    return [torch.stack([transform(picture) for picture in pictures]) for _ in range(2)]


def operations() -> tuple[Crop, Flip, ColorJitter, ColorDrop]:
    """Return the policy's operations, so that all sides take their settings from one place."""
    crop, flip, jitter, drop = SIMCLR_SMALL.ops
    assert isinstance(crop, Crop)
    assert isinstance(flip, Flip)
    assert isinstance(jitter, ColorJitter)
    assert isinstance(drop, ColorDrop)
    return crop, flip, jitter, drop
