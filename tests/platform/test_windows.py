"""Windows of pictures: held to Pillow's crop and resizing of all of a picture, and to ramps that tell their places."""

import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from media import JPEG
from PIL import Image
from torch import Tensor

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.augment import ColorDrop, Crop, Extent, Flip, Policy, ViewPlan
from unlabeled.platform.augment.geometry import inverse, mapped, pixels_in_second
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, FileImages, load, windows
from unlabeled.platform.data.contents import checksum
from unlabeled.platform.data.measured import sized_digests
from unlabeled.platform.data.readers.arrow import ArrowImages
from unlabeled.platform.data.source import Window
from unlabeled.platform.data.threads import reading_with
from unlabeled.platform.data.windows import cut, decoded
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import UserError
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.batches import Batches
from unlabeled.platform.train.views import views_of

FILE = Path("picture.jpg")
CROPPED = Policy(ops=(Crop(area=(0.1, 1.0)), Flip()))


def ramp(height: int, width: int) -> Image.Image:
    """Return a picture whose red is its pixel's x, and whose green is its y."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x, y, np.full_like(x, 99)], axis=2).astype(np.uint8))


def scene(height: int, width: int, mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).normal(size=(height, width)) * 6
    pixels = [127 + 90 * np.sin(x / 17 + y / 31 + c) + 20 * np.cos(y / 9) + noise for c in range(3)]
    return Image.fromarray(np.stack(pixels, axis=2).clip(0, 255).astype(np.uint8)).convert(mode)


def stored(picture: Image.Image, kind: str = "JPEG", **how: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **how)
    return file.getvalue()


def by_pillow(content: bytes, box: tuple[int, int, int, int], size: tuple[int, int]) -> np.ndarray:
    top, left, height, width = box
    picture = Image.open(io.BytesIO(content)).convert("RGB").crop((left, top, left + width, top + height))
    return np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR)).transpose(2, 0, 1)


KINDS: dict[str, Callable[[], bytes]] = {
    "colours at half the size": lambda: stored(scene(181, 243), subsampling=2, quality=90),
    "colours at half the width": lambda: stored(scene(181, 243), subsampling=1),
    "colours at full size": lambda: stored(scene(180, 240), subsampling=0),
    "progressive": lambda: stored(scene(181, 243), progressive=True),
    "grey": lambda: stored(scene(181, 243, "L")),
    "for print": lambda: stored(scene(100, 101, "CMYK")),
    "png": lambda: stored(scene(100, 101), "PNG"),
}
WINDOWS = [
    ((0, 0, 90, 97), (48, 48)),
    ((3, 5, 20, 31), (32, 32)),
    ((40, 11, 60, 90), (28, 40)),  # below it, much is not decoded
    ((1, 0, 97, 99), (24, 24)),
    ((2, 1, 97, 99), (12, 11)),
    ((17, 50, 1, 1), (4, 4)),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("box", "size"), WINDOWS)
def test_a_window_is_what_pillow_cuts_out_and_resizes(
    kind: str, box: tuple[int, int, int, int], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = KINDS[kind]()
    (found,) = cut(FILE, content, [box], [size])
    assert (found.shape, found.dtype) == ((3, *size), np.uint8)
    apart = np.abs(found.astype(int) - by_pillow(content, box, size))
    is_whole = min(box[2] // size[0], box[3] // size[1]) < 2 or kind == "png"
    # Whole pixels are resized with weights of other lengths; decoding at a fraction filters otherwise.
    assert apart.max() <= (2 if is_whole else 24)
    assert apart.mean() <= (0.3 if is_whole else 5.0 if kind == "colours at half the width" else 3.0)
    monkeypatch.setattr(windows, "_fast_decoder", lambda: None)
    (slowly,) = cut(FILE, content, [box], [size])
    assert np.array_equal(found, slowly), "Pillow's decoder gives the same bits, and decodes all rows"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("box", [(10, 20, 60, 90), (0, 0, 200, 240), (33.5, 7.25, 100.5, 51.75), (60, 9, 140, 200)])
@pytest.mark.parametrize("size", [(16, 16), (50, 40), (90, 120)])
def test_a_window_lies_where_it_is_said_to_lie(kind: str, box: tuple[float, ...], size: tuple[int, int]) -> None:
    content = stored(ramp(200, 240), kind, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))
    (found,) = cut(FILE, content, [box], [size])
    top, left, height, width = box
    x = left + (np.arange(size[1]) + 0.5) * width / size[1] - 0.5
    y = top + (np.arange(size[0]) + 0.5) * height / size[0] - 0.5
    inner = slice(1, -1)
    assert np.abs(found[0][inner, inner] - x[inner]).max() < 4
    assert np.abs(found[0][inner, inner].mean(axis=0) - x[inner]).max() < 1.2
    assert np.abs(found[1][inner, inner].mean(axis=1) - y[inner]).max() < 1.2


@pytest.mark.parametrize(
    ("boxes", "shape"),
    [
        ([(0, 0, 100, 100)], (112, 240)),  # the rows below are left out
        ([(0, 0, 100, 200)], (112, 240)),
        ([(40, 40, 128, 128)], (88, 120)),  # of a picture at half its size
        ([(0, 0, 100, 100), (40, 0, 140, 140)], (180, 240)),
        ([(40, 0, 128, 128), (0, 0, 50, 50)], (176, 240)),  # at the scale that the smaller box leaves
    ],
)
def test_what_no_window_needs_is_not_decoded(boxes: list[tuple[int, int, int, int]], shape: tuple[int, int]) -> None:
    pixels, _ = decoded(FILE, stored(scene(180, 240)), boxes, [(64, 64)] * len(boxes))
    assert pixels.shape == (*shape, 3)


def test_windows_are_the_same_on_every_processor() -> None:
    """Recorded; ``ATEN_CPU_CAPABILITY=default JSIMD_FORCENONE=1`` computes as an old processor does."""
    boxes = [(0, 0, 44, 64), (3, 5, 20, 31), (1, 1, 41, 60), (7.5, 3.25, 11, 13)]
    found = [cut(FILE, JPEG, [box], [size])[0] for box in boxes for size in ((32, 32), (20, 20), (9, 9), (5, 5))]
    digest = hashlib.sha256(b"".join(each.tobytes() for each in found)).hexdigest()
    assert digest[:16] == "9fa57c257eb93216"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(40):
        ramp(90 + 3 * number, 250 - 4 * number).save(tmp_path / f"{number:02}.{('png', 'jpg')[number % 2]}", quality=95)
    return tmp_path


def test_threads_and_order_make_no_difference(folder: Path) -> None:
    paths = sorted(file.name for file in folder.iterdir())
    sizes = torch.tensor([(90 + 3 * number, 250 - 4 * number) for number in range(40)])
    source = FileImages(folder, paths, 16, sizes)
    shown = [Window(torch.tensor([(5, 7, 60, 70), (0, 9, 80, 80)] * 20), size) for size in ((24, 24), (48, 40))]
    alone = source.read_windows(source.rows, "image", shown)
    with reading_with(4):
        together = source.read_windows(source.rows, "image", shown)
    assert [each.shape for each in alone] == [(40, 3, 24, 24), (40, 3, 48, 40)]
    assert all(map(torch.equal, alone, together))
    turned = source.take(source.rows.flip(0)).read_windows(
        source.rows.flip(0), "image", [Window(each.boxes, each.size) for each in shown]
    )
    assert all(map(torch.equal, alone, turned))


def test_a_file_that_was_cut_off_since_is_named(folder: Path) -> None:
    source = FileImages(folder, ["01.jpg"], 16, torch.tensor([(93, 246)]))
    file = folder / "01.jpg"
    file.write_bytes(file.read_bytes()[:900])
    with pytest.raises(UserError, match=r"^can't read the picture .*01\.jpg: .*; repair it or take it out$"):
        source.read_windows(torch.tensor([0]), "image", [Window(torch.tensor([(0, 0, 90, 90)]), (8, 8))])


def test_without_simplejpeg_pillow_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    windows._fast_decoder.cache_clear()
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert windows._fast_decoder() is None
    windows._fast_decoder.cache_clear()


# ---- views of them -------------------------------------------------------------------------------------------------


def of_folder(folder: Path, *policies: Policy, px: int = 32, **plan: object) -> tuple[Batches, Data]:
    data = load(DataConfig(name=f"folder:{folder}", image_px=px))
    views = ViewPlan(views=policies, **plan)
    run = RunConfig.checked(method=SimCLRConfig(views=views), batch_size=8, precision="fp32")
    return Batches(run, data, Processor(torch.device("cpu"), "fp32")), data


def test_what_is_read_in_windows_is_no_longer_the_data_that_was_cut_to_squares(folder: Path) -> None:
    paths = sorted(file.name for file in folder.iterdir())
    labels = [(path, -1) for path in paths]
    digests, sizes = sized_digests(folder, paths)
    assert load(DataConfig(name=f"folder:{folder}")).checksum == checksum(labels, digests, version=2)
    assert checksum(labels, digests, version=2) != checksum(labels, digests)
    assert sizes.tolist() == [[90 + 3 * number, 250 - 4 * number] for number in range(40)]


def test_sizes_are_kept_by_what_files_hold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    paths = sorted(file.name for file in folder.glob("*g"))
    first = sized_digests(folder, paths)[1]
    (folder / "00.png").rename(folder / "new.png")
    ramp(33, 44).save(folder / "00.png")
    heads: list[Path] = []
    monkeypatch.setattr("unlabeled.platform.data.measured._head", heads.append)
    again = sized_digests(folder, ["new.png", *paths])[1]
    assert again.tolist() == [first[0].tolist(), [33, 44], *first[1:].tolist()]
    assert heads == [], "known by what was read for its digest, or kept"


@pytest.mark.parametrize("size", [None, 20])
def test_a_crop_is_drawn_in_the_whole_picture_and_to_view_says_where(folder: Path, size: int | None) -> None:
    policy = Policy(ops=(Crop(area=(0.1, 1.0), size=size), Flip()))
    batches, data = of_folder(folder, policy, policy)
    batch = batches(1)
    extents = data.pretrain.extents(batch.index, "image")
    assert extents is not None
    seen = []
    for view, to_view in zip(batch.views, batch.to_view, strict=True):
        px = size or 32
        assert view.shape == (8, 3, px, px)
        place = torch.stack(torch.meshgrid(*[torch.arange(1, px - 1) + 0.5] * 2, indexing="xy"), dim=-1)
        item = mapped(place.expand(8, -1, -1, 2), inverse(to_view)) - 0.5  # of each pixel, in the picture as stored
        inner = view[:, :2, 1:-1, 1:-1].permute(0, 2, 3, 1) * 255
        assert (inner - item).abs().mean(dim=(1, 2)).max() < 1.5
        seen.append(item)
    columns, width = torch.stack(seen)[..., 0].permute(1, 0, 2, 3).flatten(1), extents[:, 1]
    beside = (width - extents[:, 0]) / 2  # what the centre square leaves out
    is_wide = beside > 30
    assert (columns.min(dim=1).values < beside)[is_wide].any()
    assert (columns.max(dim=1).values > width - beside)[is_wide].any()


def test_rows_are_the_same_in_any_micro_batch(folder: Path) -> None:
    batches, _ = of_folder(folder, CROPPED, Policy(ops=(Crop(size=20), ColorDrop(p=0.5))))
    whole, parts = batches(0), [batches(0, rows) for rows in torch.arange(8).split(3)]
    of_read = batches.make(batches.read(0), torch.tensor([2, 3, 4]))
    for place, view in enumerate(whole.views):
        assert torch.equal(view, torch.cat([part.views[place] for part in parts]))
        assert torch.equal(view[2:5], of_read.views[place])
        assert torch.equal(whole.to_view[place], torch.cat([part.to_view[place] for part in parts]))


@pytest.mark.parametrize("policy", [Policy(), Policy(ops=(Flip(), Crop())), Policy(ops=(Crop(p=0.9),))])
def test_what_does_not_begin_with_a_crop_sees_the_square(folder: Path, policy: Policy) -> None:
    batches, data = of_folder(folder, policy)
    stored = batches.read(0)
    assert torch.equal(stored.whole["image"], data.pretrain.tensor(stored.index[0], "image"))
    assert not stored.parts
    assert batches.make(stored).views[0].shape == (8, 3, 32, 32)


def test_figures_and_health_see_windows_as_training_does(folder: Path) -> None:
    plan = ViewPlan(views=(CROPPED, Policy()))
    items = load(DataConfig(name=f"folder:{folder}", image_px=32)).pretrain
    index = torch.tensor([2, 5, 7])
    views = views_of(plan, items, index, (3,))
    drawn = plan.views[0].policy.draw(
        Extent(3, (32, 32)),
        Draws(index, 3, "view", 0),
        stored=Extent(3, items.extents(index, "image").unbind(1)),
    )
    assert drawn.window is not None
    (window,) = items.read_windows(index, "image", [Window(drawn.window, (32, 32))])
    assert torch.equal(views[0], CROPPED.change(window.float() / 255, drawn))
    assert torch.equal(views[1] * 255, items.tensor(index, "image").float())


def test_one_view_of_the_square_beside_one_of_a_window(folder: Path) -> None:
    alone, _ = of_folder(folder, CROPPED)
    beside, data = of_folder(folder, CROPPED, Policy())
    assert torch.equal(alone(0).views[0], beside(0).views[0])
    assert torch.equal(beside(0).views[1] * 255, data.pretrain.tensor(beside(0).index, "image").float())


@pytest.mark.parametrize("policy", [Policy(), Policy(ops=(Flip(), Crop(area=(0.3, 1.0), size=20)))])
def test_ways_to_the_square_and_to_a_window_begin_in_the_same_place(folder: Path, policy: Policy) -> None:
    batches, _ = of_folder(folder, CROPPED, policy)
    batch = batches.make(batches.read(1), batches.read(1).rows[1:7])
    window, square = batch.views
    places, seen = pixels_in_second(*batch.to_view[::-1], square.shape[2:], window.shape[2:])
    assert seen.flatten(1).any(dim=1).sum() > 3
    grid = places / window.shape[3] * 2 - 1
    there = torch.nn.functional.grid_sample(window, grid, align_corners=False)
    apart = (there - square)[:, :2].abs().amax(dim=1) * 255
    assert apart[seen].mean() < 3, "both show ramps, whose colours are places"


def test_rows_of_a_table_are_seen_as_their_files_are(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = sorted(file.name for file in folder.iterdir())
    table = pa.table({"image": [{"bytes": (folder / path).read_bytes(), "path": None} for path in paths]})
    pq.write_table(table, folder / "x.parquet")
    rows, files = ArrowImages(folder, ["x.parquet"], "image", 16), FileImages(folder, paths, 16)
    boxes: Tensor = torch.tensor([(5, 7, 60, 70)] * 4)
    index = torch.tensor([3, 0, 39, 3])
    assert rows.extents(index, "image").tolist() == [[99, 238], [90, 250], [207, 94], [99, 238]]
    assert files.extents(index, "image") is None, "without their sizes they are squares"
    found = [each.read_windows(index, "image", [Window(boxes, (24, 24))])[0] for each in (rows, files)]
    assert torch.equal(*found)
