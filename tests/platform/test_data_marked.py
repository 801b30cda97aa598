"""What is marked in pictures and clips: PASCAL VOC and DAVIS."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from media import annotation, davis, grey, lines, picture, voc
from PIL import Image
from sources import images_of

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.augment import Crop, Flip, Policy, Rotate90, ViewPlan
from unlabeled.platform.augment.geometry import inverse, mapped
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.data.readers.marked import boxes_in, mask_in, squares_of
from unlabeled.platform.data.readers.voc import CLASSES
from unlabeled.platform.errors import UserError
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.batches import Batches

CAT, DOG = CLASSES.index("cat"), CLASSES.index("dog")


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def read(kind: str, place: Path, **settings: object) -> Data:
    return load(DataConfig(name=f"{kind}:{place}", **settings))


# --- geometry ---


@pytest.mark.parametrize(("width", "height", "px"), [(60, 40, 20), (40, 60, 80), (33, 47, 33), (47, 33, 12)])
def test_boxes_go_where_their_pixels_go(width: int, height: int, px: int) -> None:
    # Each box is painted alone; where it lies in the square is read off the picture that was resized.
    boxes = np.array([[12, 10, 30, 30, 1], [0, 0, width, height, 2], [15, 12, 18, 31, 3]], np.float32)
    for box, moved in zip(boxes, in_square(boxes, width, height, px), strict=True):
        pixels = np.zeros((height, width), np.uint8)
        left, top, right, bottom = box[:4].astype(int)
        pixels[top:bottom, left:right] = 1
        mask = mask_in(Image.fromarray(pixels), squares_of(torch.tensor([[height, width]]))[0].tolist(), (px, px))
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert moved[:4] == pytest.approx(found, abs=0.51), "masks are of whole pixels"
        assert moved[4] == box[4]


def in_square(boxes: np.ndarray, width: int, height: int, px: int) -> list[list[float]]:
    """Return the boxes that are left in a picture's centre square."""
    (found,) = boxes_in(torch.from_numpy(boxes)[None], squares_of(torch.tensor([[height, width]])), (px, px))
    return [box for box in found.tolist() if box[0] == box[0]]


def test_boxes_outside_are_left_out_and_others_cut() -> None:
    boxes = np.array([[0, 0, 9, 40, 1], [0, 0, 20, 20, 2], [50, 5, 60, 9, 3]], np.float32)
    assert in_square(boxes, 60, 40, 20) == [[0, 0, 5, 10, 2]]
    assert in_square(boxes[:0], 60, 40, 20) == []


def test_a_mask_of_colours_is_none() -> None:
    with pytest.raises(ValueError, match="a mask has a number for each pixel"):
        mask_in(Image.new("RGB", (4, 4)), (0, 0, 4, 4), (4, 4))


# --- VOC ---


def test_voc_is_pictures_with_boxes_masks_and_a_class(tmp_path: Path) -> None:
    data = read("voc", voc(tmp_path / "VOC2012", {"train": 6, "val": 3}, masked=2), image_px=40)
    assert (len(data.train) + len(data.validation), len(data.test)) == (6, 3), "val is what is tested in 2012"
    assert set(data.train.fields) == {"image", "boxes", "mask", "class"}
    fields = data.train.fields
    assert (fields["boxes"].of, fields["mask"].of) == ("image", "image")
    assert (fields["boxes"].classes, fields["mask"].classes) == (CLASSES, ("background", *CLASSES))
    boxes = data.test.tensor(data.test.rows, "boxes")
    assert boxes.shape == (3, 2, 5)
    # Of 60 x 40 pixels columns 10 to 50 are left: the cat's 0 to 30 and the dog's 40 to 48.
    assert boxes[0].tolist() == [[0, 0, 20, 40, CAT], [30, 10, 38, 20, DOG]]
    assert data.test.tensor(data.test.rows, "class").tolist() == [CAT] * 3
    assert int(data.test.known("mask").sum()) == 2
    mask = data.test.tensor(data.test.rows[data.test.known("mask")], "mask")[0]
    expected = np.zeros((40, 40), np.uint8)
    expected[:, :20], expected[10:20, 30:38], expected[:, 20] = 8, 12, 255
    assert np.array_equal(mask.numpy(), expected)
    pixels = images_of(data.test)[0, 0].int()
    assert pixels[:, :18].min() > 180, "and the picture is cut likewise"
    assert pixels[:, 23:].max() < 20


def test_voc_with_a_test_split_validates_on_val(tmp_path: Path) -> None:
    place = voc(tmp_path / "VOC2007", {"train": 4, "val": 3, "test": 2})
    data = read("voc", place, image_px=20)
    assert (len(data.train), len(data.validation), len(data.test)) == (4, 3, 2)
    (place / "Annotations/test000.xml").unlink()
    data = read("voc", place, image_px=20)
    assert (len(data.train) + len(data.validation), len(data.test)) == (4, 3), "without the test's annotations"


def test_voc_never_trains_on_what_it_tests(tmp_path: Path) -> None:
    place = voc(tmp_path / "VOC2012", {"train": 6, "val": 3})
    lines(place / "ImageSets/Segmentation/train.txt", "train000", "val001")
    data = read("voc", place, image_px=20)
    assert (len(data.train) + len(data.validation), len(data.test)) == (6, 3)


def test_voc_leaves_out_difficult_things_and_pictures_without_any_have_no_class(tmp_path: Path) -> None:
    place = voc(tmp_path / "VOC2012", {"train": 6, "val": 3})
    annotation(place / "Annotations/val001.xml", ("dog", 20, 1, 40, 20), difficult=1)
    (place / "Annotations/val002.xml").unlink()
    data = read("voc", place, image_px=20)
    assert sorted(data.test.known("class").tolist()) == [False, False, True]
    assert sorted(data.test.known("boxes").tolist()) == [False, True, True]
    rows = data.test.rows[data.test.known("boxes")]
    counts = sorted((~data.test.tensor(rows, "boxes")[..., 0].isnan()).sum(dim=1).tolist())
    assert counts == [0, 2], "none is not the same as nothing told"


def test_splits_of_voc_have_boxes_of_one_shape(tmp_path: Path) -> None:
    place = voc(tmp_path / "VOC2012", {"train": 6, "val": 3})
    annotation(place / "Annotations/val001.xml", *(("dog", 20, n, 40, n + 3) for n in range(1, 6)))
    data = read("voc", place, image_px=20)
    assert data.train.fields["boxes"].shape == data.test.fields["boxes"].shape == (5, 5)
    assert int((~data.test.tensor(data.test.rows, "boxes")[..., 0].isnan()).sum()) == 5 + 2 + 2


def test_a_checksum_of_voc_is_of_annotations_and_masks_too(tmp_path: Path) -> None:
    place = voc(tmp_path / "VOC2012", {"train": 6, "val": 3})
    seen = [read("voc", place, image_px=20).checksum]
    assert read("voc", place, image_px=10).checksum == seen[0]
    annotation(place / "Annotations/val001.xml", ("dog", 20, 1, 40, 20))
    seen.append(read("voc", place, image_px=20).checksum)
    picture(place / "SegmentationClass/val000.png", np.ones((40, 60), np.uint8))
    seen.append(read("voc", place, image_px=20).checksum)
    assert len(set(seen)) == 3


def test_another_split_of_the_same_files_is_other_data(tmp_path: Path) -> None:
    """A finished run on the one is none on the other, though no file that is read differs."""
    place = voc(tmp_path / "VOC2012", {"train": 6, "val": 3})
    lists = place / "ImageSets/Main"
    seen = [read("voc", place, image_px=20).checksum]
    moved = (lists / "train.txt").read_text().splitlines()[-1]
    lines(lists / "train.txt", *(f"train{number:03}" for number in range(5)))
    lines(lists / "val.txt", *(f"val{number:03}" for number in range(3)), moved)
    seen.append(read("voc", place, image_px=20).checksum)
    (place / "ImageSets/Segmentation/train.txt").unlink()  # whose mask is not known any more
    seen.append(read("voc", place, image_px=20).checksum)
    assert len(set(seen)) == 3
    films = davis(tmp_path / "DAVIS", dict.fromkeys(["a", "b", "c", "d"], 1), test=["d"])
    before = read("davis", films, image_px=16, frames=3).checksum
    lines(films / "ImageSets/2017/train.txt", "a", "b")
    lines(films / "ImageSets/2017/val.txt", "d", "c")
    assert read("davis", films, image_px=16, frames=3).checksum != before


def test_voc_without_annotations_is_one_clear_line(tmp_path: Path) -> None:
    place = voc(tmp_path / "VOC2012", {"train": 6, "val": 3})
    for file in (place / "Annotations").iterdir():
        file.unlink()
    with pytest.raises(UserError):
        read("voc", place, image_px=20)


def test_what_is_marked_is_seen_in_the_windows_of_views(tmp_path: Path) -> None:
    """The cat fills the left half, which is the bright one: so in each view the mask is a cat's where it is bright."""
    place = voc(tmp_path / "VOC2012", {"train": 16, "val": 4}, masked=16)
    data = read("voc", place, image_px=24)
    views = ViewPlan(
        views=(Policy(ops=(Crop(area=(0.2, 1.0)), Flip(), Rotate90())), Policy()), targets=("mask", "boxes")
    )
    run = RunConfig.checked(method=SimCLRConfig(views=views), batch_size=8, precision="fp32")
    batches = Batches(run, data, Processor(torch.device("cpu"), "fp32"))
    beside, flipped, dogs = 0, 0, 0
    for step in range(6):
        batch = batches(step)
        for view, mask, boxes, to_view in zip(batch.views[0], *batch.targets.values(), batch.to_view[0], strict=True):
            bright, cat = view[0] > 0.4, (mask == 8).float()[None]
            inner = (mask != 255) & (F.max_pool2d(cat, 5, 1, 2) == -F.max_pool2d(-cat, 5, 1, 2))[0]
            assert inner.float().mean() > 0.4
            assert torch.equal(bright[inner], mask[inner] == 8)
            by_class = {int(box[4]): box[:4] for box in boxes if not box.isnan().any()}
            for number, name in ((8, CAT), (12, DOG)):
                rows, columns = torch.nonzero(mask == number, as_tuple=True)
                if len(rows) > 20:
                    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                    # A pixel is the seam's where its centre is: up to half a pixel's worth is cut off.
                    assert by_class[name].tolist() == pytest.approx([float(edge) for edge in found], abs=2.0)
                    dogs += name == DOG
            corners = mapped(torch.tensor([[[0.0, 0.0], [24.0, 24.0]]]), inverse(to_view[None]))[0, :, 0]
            beside += int(corners.min() < 9 or corners.max() > 51)
            flipped += int(corners[0] > corners[1])
    assert min(beside, flipped, dogs) > 5, "the square is columns 10 to 50, and windows reach beyond it"


def test_a_mask_of_another_size_than_its_picture_is_one_line(tmp_path: Path) -> None:
    place = voc(tmp_path / "VOC2012", {"train": 4, "val": 2})
    picture(place / "SegmentationClass/val000.png", np.ones((40, 59), np.uint8))
    with pytest.raises(UserError, match=r"^the mask .*val000\.png is 59 x 40 pixels and its picture 60 x 40; get"):
        read("voc", place, image_px=20)


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><annotation>&b;</annotation>'


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("Annotations/val001.xml", "<annotation>", r"can't read the annotation .*val001\.xml: no element found"),
        ("Annotations/val001.xml", BOMB, r"can't read the annotation .*: it is very long, or declares types"),
        ("Annotations/val001.xml", "<annotation>" + " " * 2**20, r"it is very long"),
        ("Annotations/val001.xml", "<annotation><object/></annotation>", r"val001\.xml: it has no name; get it again"),
        ("JPEGImages/val001.jpg", "garbage", r"can't read the picture .*val001\.jpg"),
        ("SegmentationClass/val000.png", "garbage", r"can't read the picture .*val000\.png"),
        ("ImageSets/Main/val.txt", "../../etc/passwd\n", r"names \.\./\.\./etc/passwd, which is no plain name"),
        ("ImageSets/Main/val.txt", "", r"val\.txt names nothing"),
        ("ImageSets/Main/val.txt", "gone\n", r"can't read .*JPEGImages/gone\.jpg \(no such file"),
    ],
)
def test_a_damaged_voc_is_one_line_that_names_the_file(tmp_path: Path, file: str, content: str, message: str) -> None:
    place = voc(tmp_path / "VOC2012", {"train": 4, "val": 2})
    (place / file).write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        read("voc", place, image_px=20)
    assert "\n" not in str(caught.value)


def test_things_of_other_classes_and_other_shapes_are_named(tmp_path: Path) -> None:
    place = voc(tmp_path / "VOC2012", {"train": 4, "val": 2})
    annotation(place / "Annotations/val001.xml", ("unicorn", 1, 1, 9, 9))
    with pytest.raises(UserError, match=r"it has a unicorn, which is none of VOC's classes"):
        read("voc", place)
    shutil.rmtree(place / "Annotations")
    with pytest.raises(UserError, match=r"there is no Annotations in .*; PATH is a year's folder, such as VOCdevkit"):
        read("voc", place)
    with pytest.raises(UserError, match=r"^there is no folder .*/gone$"):
        read("voc", tmp_path / "gone")


# --- DAVIS ---


def test_davis_is_clips_with_a_mask_on_each_frame(tmp_path: Path) -> None:
    place = davis(tmp_path / "DAVIS", {"bear": 1, "bike": 2, "cow": 1, "dogs": 3}, test=["dogs"])
    data = read("davis", place, image_px=48, frames=4)
    assert (len(data.train) + len(data.validation), len(data.test)) == (6, 2), "of nine frames two clips of four"
    clip, mask = data.test.fields["clip"], data.test.fields["mask"]
    assert (clip.shape, clip.rate, mask.shape, mask.of) == ((4, 3, 48, 48), 24.0, (4, 48, 48), "clip")
    clips, masks = (data.test.tensor(data.test.rows, name) for name in ("clip", "mask"))
    for seen, marked in zip(clips, masks, strict=True):
        first = round((int(seen[0, 0, 0, 0]) - grey(0)) / 4)
        assert first in (0, 4)
        for frame in range(4):
            assert int(seen[frame, 0, 0, 0]) == pytest.approx(grey(first + frame), abs=2)
            for thing in range(3):
                columns = torch.nonzero((marked[frame] == thing + 1).any(dim=0)).flatten()
                assert columns.tolist() == list(range(first + frame, first + frame + 8)), "54 columns, cut at 3"
        assert marked.unique().tolist() == [0, 1, 2, 3]
    assert {"clip", "mask"} == set(data.train.fields)


def test_davis_at_a_lower_rate_takes_fewer_frames(tmp_path: Path) -> None:
    place = davis(tmp_path / "DAVIS", dict.fromkeys(["a", "b", "c", "d"], 1), test=["d"])
    data = read("davis", place, image_px=48, frames=3, rate=8)
    clip = data.test.tensor(data.test.rows, "clip")
    assert [int(frame[0, 0, 0]) for frame in clip[0]] == pytest.approx([grey(0), grey(3), grey(6)], abs=2)
    with pytest.raises(UserError, match=r"^data.rate of DAVIS is a whole part of 24 .*; got 7$"):
        read("davis", place, rate=7)
    with pytest.raises(
        UserError, match=r"^a in .* has 9 frames at 24 per second, and a clip 16; set data.frames to 9 or"
    ):
        read("davis", place)


def test_davis_without_some_masks_knows_which(tmp_path: Path) -> None:
    place = davis(tmp_path / "DAVIS", dict.fromkeys(["a", "b", "c", "d"], 1), test=["d"])
    (place / "Annotations/480p/d/00001.png").unlink()
    data = read("davis", place, image_px=16, frames=4)
    assert sorted(data.test.known("mask").tolist()) == [False, True]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("ImageSets/2017/val.txt", "../x\n", r"val\.txt names \.\./x, which is no plain name; mend that line"),
        ("ImageSets/2017/val.txt", "gone\n", r"there is no JPEGImages/480p/gone in .*; PATH has JPEGImages/480p"),
        ("Annotations/480p/d/00001.png", "garbage", r"can't read the picture .*d/00001\.png"),
    ],
)
def test_a_damaged_davis_is_one_line(tmp_path: Path, file: str, content: str, message: str) -> None:
    place = davis(tmp_path / "DAVIS", dict.fromkeys(["a", "b", "c", "d"], 1), test=["d"])
    (place / file).write_text(content)
    with pytest.raises(UserError) as caught:
        read("davis", place, image_px=16, frames=4)
    assert re.search(message, str(caught.value))
    assert "\n" not in str(caught.value)
