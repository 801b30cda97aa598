"""Does training from files keep up with training from memory, and with other loaders?

Measured, on the whole machine, from JPEG files of 500 x 375 pixels:

- training by SimCLR with the small convnet at 96 px, whose crops are cut out of the whole pictures while they are
  decoded, ahead of the step; against the same training with the pictures in memory at 96 px, as when all is decoded
  beforehand. Target: at least 0.9 of memory's pictures per second.
- two views of 224 px by SimCLR's policy for ImageNet, float32 in [0, 1] in batches, as a run reads and makes them;
  against torchvision's transforms of PIL pictures, and of uint8 tensors (v2), in a DataLoader with a worker for each
  core. A turn is a whole pass over the files, so that nobody reads ahead in another's turn; what the workers' first
  start costs is left out. Target: at least 1.5 times either's.
"""

import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from benchmarks.compare import Row, paired_ratio, wall_in_turns
from benchmarks.photographs import photographs
from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.augment import SIMCLR, SIMCLR_SMALL, ColorDrop, ColorJitter, Crop, Flip, GaussianBlur, two_views
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import ArrayImages, Data, DataConfig, load
from unlabeled.platform.drive.cores import usable_cores
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.ahead import read_steps
from unlabeled.platform.train.batches import Batches
from unlabeled.platform.train.loop import Training

PICTURES = 320  # of which a folder without splits leaves 230 to train on
BATCH = 32
STEPS = 7  # of an epoch
EPOCHS, TRAINING_ROUNDS = 3, 5
LOADING_ROUNDS = 5
OF_MEMORY, OF_OTHERS = 0.9, 1.5


def rows() -> Iterator[Row]:
    before, cores = torch.get_num_threads(), usable_cores()
    torch.set_num_threads(cores)
    try:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            photographs(folder, PICTURES)
            yield _training(folder)
            yield from _loading(folder, cores)
    finally:
        torch.set_num_threads(before)


def _data(folder: Path, px: int) -> Data:
    return load(DataConfig(name=f"folder:{folder}", image_px=px))


def _training(folder: Path) -> Row:
    data = _data(folder, 96)
    whole = ArrayImages(data.pretrain.tensor(data.pretrain.rows, "image").numpy())
    memory = replace(data, pretrain=whole, train=whole, measured=whole)
    run = RunConfig(
        method=SimCLRConfig(views=two_views(SIMCLR_SMALL)),
        data=DataConfig(name=data.name, image_px=96),
        encoder=ConvNetConfig(),
        batch_size=BATCH,
        epochs=EPOCHS,
    )
    assert Training(run, data, Processor.here(run.precision, 0)).steps_per_epoch == STEPS
    files_s, memory_s = wall_in_turns(_training_of(run, data), _training_of(run, memory), rounds=TRAINING_ROUNDS)
    ratio = paired_ratio(memory_s, files_s)
    return Row.of_ratio(
        what=f"training by SimCLR at 96 px, {torch.get_num_threads()} threads",
        ours=f"{_speed(files_s, EPOCHS * STEPS * BATCH):,.0f} pictures/s from JPEGs",
        reference=f"{_speed(memory_s, EPOCHS * STEPS * BATCH):,.0f} pictures/s, from memory",
        ratio=ratio,
        least=OF_MEMORY,
    )


def _training_of(run: RunConfig, data: Data) -> Callable[[], None]:
    """Train all epochs each time that it is called; what is read ahead begins and ends with that."""
    training = Training(run, data, Processor.here(run.precision, 0))

    def train() -> None:
        training.step = 0
        for _ in training.steps():
            pass

    return train


def _loading(folder: Path, cores: int) -> Iterator[Row]:
    data = _data(folder, 224)
    run = RunConfig(
        method=SimCLRConfig(views=two_views(SIMCLR)),
        data=DataConfig(name=data.name, image_px=224),
        batch_size=BATCH,
        precision="fp32",
    )
    processor = Processor.here("fp32", 0)
    batches = Batches(run, data, processor)
    files = sorted(folder.glob("*.jpg"))[: STEPS * BATCH]

    def ours() -> None:
        with closing(read_steps(batches, range(STEPS), processor)) as read:
            for stored in read:
                batches.make(stored)

    works: dict[str, Callable[[], object]] = {"ours": ours}
    for name, others in (("PIL", FromPIL(files)), ("v2", FromTensors(files))):
        loader = DataLoader(others, BATCH, shuffle=True, num_workers=cores, persistent_workers=True)
        works[name] = lambda loader=loader: [None for _ in loader]  # type: ignore[misc]
    seconds = dict(zip(works, wall_in_turns(*works.values(), rounds=LOADING_ROUNDS), strict=True))
    for name in ("PIL", "v2"):
        ratio = paired_ratio(seconds[name], seconds["ours"])
        yield Row.of_ratio(
            what="JPEGs to two views of 224 px",
            ours=f"{_speed(seconds['ours'], STEPS * BATCH):,.0f} pictures/s",
            reference=f"{_speed(seconds[name], STEPS * BATCH):,.0f} pictures/s, torchvision, {name}",
            ratio=ratio,
            least=OF_OTHERS,
        )


def _speed(seconds: list[float], pictures: int) -> float:
    return pictures / statistics.median(seconds)


class FromPIL(Dataset[tuple[Tensor, Tensor]]):
    """Two views of each file by torchvision's transforms, of PIL pictures until the last."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self.transform = v2.Compose([*operations(), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Open the file as torchvision's ImageFolder does."""
        with self.files[number].open("rb") as file:
            picture = Image.open(file).convert("RGB")
        return self.transform(picture), self.transform(picture)


class FromTensors(FromPIL):
    """The same of uint8 tensors by torchvision's own decoder, which its documentation advises."""

    def __init__(self, files: list[Path]) -> None:
        super().__init__(files)
        self.transform = v2.Compose([*operations(), v2.ToDtype(torch.float32, scale=True)])

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Decode the file to a tensor."""
        picture = decode_jpeg(read_file(str(self.files[number])), ImageReadMode.RGB)
        return self.transform(picture), self.transform(picture)


def operations() -> list[torch.nn.Module]:
    """Return SimCLR's policy in torchvision's operations, with its settings."""
    made: list[torch.nn.Module] = []
    for op in SIMCLR.ops:
        match op:
            case Crop():
                made.append(v2.RandomResizedCrop(224, scale=op.area, ratio=op.aspect, antialias=True))
            case Flip():
                made.append(v2.RandomHorizontalFlip(op.p))
            case ColorJitter():
                jitter = v2.ColorJitter(op.brightness, op.contrast, op.saturation, op.hue)
                made.append(v2.RandomApply([jitter], p=op.p))
            case ColorDrop():
                made.append(v2.RandomGrayscale(op.p))
            case GaussianBlur():
                made.append(v2.RandomApply([v2.GaussianBlur(23, op.sigma)], p=op.p))
            case _:
                raise AssertionError(f"{op} is not in SimCLR's policy")
    return made
