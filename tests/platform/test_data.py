import hashlib
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from held import held
from PIL import Image
from pydantic import ValidationError
from sources import classes_of, images_of

from unlabeled.platform.data import (
    DATASETS,
    ArrayImages,
    Classes,
    Data,
    DataConfig,
    FileImages,
    Joined,
    Source,
    Texts,
    data_root,
    download,
    load,
    shipped,
)
from unlabeled.platform.data.contents import Contents
from unlabeled.platform.data.format import measure
from unlabeled.platform.data.load import _Rows
from unlabeled.platform.data.splits import balanced, carve, shuffled
from unlabeled.platform.drive.home import find_home
from unlabeled.platform.errors import UserError

SHIPPED = ["fashion-mnist-12k", "emoji"]


@pytest.fixture(scope="module", params=SHIPPED)
def data(request: pytest.FixtureRequest) -> Data:
    return load(DataConfig(name=request.param))


def pictures(images: Source) -> list[bytes]:
    return [x.numpy().tobytes() for x in images_of(images)]


def split_digest(data: Data) -> str:
    digest = hashlib.sha256()
    for images in (data.pretrain, data.train, data.validation, data.test):
        for picture in pictures(images):
            digest.update(picture)
        digest.update(classes_of(images).numpy().tobytes())
    return digest.hexdigest()


def copy_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, **changed: np.ndarray) -> Path:
    """Let the shipped sets be read from a folder of the test's own, with some arrays replaced."""
    with np.load(shipped.BUNDLED / file) as archive:
        np.savez(tmp_path / file, **{**archive, **changed})
    monkeypatch.setattr(shipped, "BUNDLED", tmp_path)
    return tmp_path / file


# --- what is in a set ---


def test_fashion_is_what_its_description_says() -> None:
    data = load(DataConfig())
    assert (len(data.train), len(data.validation), len(data.test)) == (9000, 1000, 2000)
    assert (data.channels, data.image_px, len(data.classes), data.classes[9]) == (1, 28, 10, "Ankle boot")
    assert data.pretrain is data.train
    assert set(data.train.fields) == {"image", "class"}
    assert re.fullmatch(
        r"fashion-mnist-12k: 9,000 training, 1,000 validation and 2,000 test pictures of 28 px, grey, 10 classes; "
        r"checksum [0-9a-f]{16}; MIT, Zalando SE",
        data.summary(),
    )


def test_fashion_has_the_shipped_pictures_under_their_labels() -> None:
    data = load(DataConfig())
    with np.load(shipped.BUNDLED / shipped.FASHION_FILE) as archive:
        known = dict(zip((x.tobytes() for x in archive["train_images"]), archive["train_labels"].tolist(), strict=True))
    for images in (data.train, data.validation):
        assert classes_of(images).tolist() == [known[picture] for picture in pictures(images)]


def test_emoji_captions_go_with_their_pictures() -> None:
    data = load(DataConfig(name="emoji"))
    with np.load(shipped.BUNDLED / shipped.EMOJI_FILE) as archive:
        rows = zip(archive["images"].transpose(0, 3, 1, 2), archive["captions"].tolist(), strict=True)
        known = {(x.tobytes(), caption) for x, caption in rows}
    assert data.channels == 3
    for images in (data.train, data.validation, data.test):
        assert set(zip(pictures(images), images.read(images.rows, "text"), strict=True)) <= known


def test_catalogue_tells_what_a_listing_needs() -> None:
    for name, entry in DATASETS.items():
        assert all((entry.description, entry.size, entry.licence, entry.source)), name
        assert "\n" not in entry.description


@pytest.mark.parametrize("name", SHIPPED)
def test_catalogue_sizes_are_true(name: str) -> None:
    data = load(DataConfig(name=name))
    train, test = re.match(r"([\d,]+) \+ ([\d,]+) of", DATASETS[name].size).groups()
    assert int(train.replace(",", "")) == len(data.train) + len(data.validation)
    assert int(test.replace(",", "")) == len(data.test)


# --- splits ---


def test_splits_are_disjoint_and_complete(data: Data) -> None:
    # Shipped files have a few equal pictures, so rows are counted rather than compared as sets.
    parts = [data.train, data.validation, data.test]
    with np.load(shipped.BUNDLED / (shipped.EMOJI_FILE if data.name == "emoji" else shipped.FASHION_FILE)) as archive:
        all_rows = [x for key in archive.files if key.endswith("images") for x in archive[key]]
    if data.name == "emoji":
        all_rows = [x.transpose(2, 0, 1) for x in all_rows]
    assert sorted(p for images in parts for p in pictures(images)) == sorted(x.tobytes() for x in all_rows)


def test_splits_have_the_classes_shares(data: Data) -> None:
    counts = torch.stack([classes_of(images).bincount() for images in (data.train, data.validation, data.test)])
    everything = counts.sum(dim=0)
    carved_from = counts[:2].sum(dim=0)
    assert torch.all((counts[1] - 0.1 * carved_from).abs() <= 1.0 + 1e-6)  # one emoji is two rows
    share = {"emoji": 0.2, "fashion-mnist-12k": 1 / 6}[data.name]
    assert torch.all((counts[2] - share * everything).abs() <= 1.0 + 1e-6)


def test_splits_are_in_shuffled_order(data: Data) -> None:
    for images in (data.train, data.validation, data.test):
        first = classes_of(images)[:200].bincount(minlength=len(data.classes)) / 200
        share = classes_of(images).bincount() / len(images)
        assert (first - share).abs().max() < 0.12


def test_two_drawings_of_an_emoji_are_never_parted() -> None:
    data = load(DataConfig(name="emoji"))
    with np.load(shipped.BUNDLED / shipped.EMOJI_FILE) as archive:
        emoji_of: dict[bytes, set[int]] = {}
        for x, emoji in zip(archive["images"].transpose(0, 3, 1, 2), archive["emoji"].tolist(), strict=True):
            emoji_of.setdefault(x.tobytes(), set()).add(emoji)
    sides = [
        {min(found) for p in pictures(images) if len(found := emoji_of[p]) == 1}  # a few emoji look alike
        for images in (data.train, data.validation, data.test)
    ]
    assert min(map(len, sides)) > 100
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]


@pytest.fixture(scope="module")
def elsewhere() -> dict[str, str]:
    """What another process, with other hashes, makes of the shipped sets."""
    program = (
        f"import sys; sys.path[:0] = {[str(folder) for folder in Path(__file__).parents[:2]]!r}\n"
        "from test_data import SHIPPED, DataConfig, load, split_digest\n"
        "print('torchvision', 'torchvision' in sys.modules)\n"
        "for name in SHIPPED: print(name, split_digest(load(DataConfig(name=name))))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return dict(line.split() for line in run.stdout.splitlines())


def test_splits_are_the_same_in_another_process(data: Data, elsewhere: dict[str, str]) -> None:
    assert elsewhere[data.name] == split_digest(data)


def test_importing_the_package_leaves_torchvision_alone(elsewhere: dict[str, str]) -> None:
    assert elsewhere["torchvision"] == "False"


def test_shuffles_never_change_between_versions() -> None:
    # A change here moves pictures between splits, and makes logged results incomparable with new ones.
    assert shuffled(12, "rows").tolist() == [9, 2, 10, 3, 1, 5, 4, 6, 8, 7, 0, 11]


def test_carve_rounds_by_class_and_leaves_something_of_each() -> None:
    labels = torch.tensor([0] * 25 + [1] * 2 + [2])
    rows = torch.arange(28)
    kept, carved = carve(rows, labels, rows, 0.1, "test")
    assert labels[carved].bincount(minlength=3).tolist() == [3, 1, 0]
    assert sorted([*kept.tolist(), *carved.tolist()]) == rows.tolist()
    kept, carved = carve(rows, labels, rows, 0.99, "test")
    assert labels[kept].bincount(minlength=3).tolist() == [1, 1, 1]


def test_carve_keeps_groups_together() -> None:
    groups = torch.arange(40) % 20
    kept, carved = carve(shuffled(40, "x"), groups % 4, groups, 0.4, "test")
    assert len(carved) == 16
    assert not set(groups[kept].tolist()) & set(groups[carved].tolist())


def test_carve_differs_by_purpose() -> None:
    rows = torch.arange(100)
    carved = [set(carve(rows, rows * 0, rows, 0.2, purpose)[1].tolist()) for purpose in ("test", "validation")]
    assert carved[0] != carved[1]


def test_balanced_goes_on_when_a_class_is_used_up() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 2, 2])
    counts = [labels[balanced(torch.arange(7), labels, n)].bincount(minlength=3).tolist() for n in (3, 5, 6, 7)]
    assert counts == [[1, 1, 1], [2, 1, 2], [3, 1, 2], [4, 1, 2]]


# --- train_images ---


@pytest.mark.parametrize("count", [1, 10, 105, 5000])
def test_train_images_are_balanced(count: int) -> None:
    data = load(DataConfig(train_images=count))
    per_class = classes_of(data.train).bincount(minlength=10)
    assert len(data.train) == len(data.pretrain) == count
    assert per_class.max() - per_class.min() <= 1


def test_train_images_touch_nothing_but_train(data: Data) -> None:
    few = load(DataConfig(name=data.name, train_images=50))
    assert pictures(few.validation) == pictures(data.validation)
    assert pictures(few.test) == pictures(data.test)
    assert (few.format, few.checksum) == (data.format, data.checksum)


def test_fewer_train_images_are_among_more(data: Data) -> None:
    few, more, everything = (
        pictures(load(DataConfig(name=data.name, train_images=count)).train) for count in (30, 333, len(data.train))
    )
    assert set(few) < set(more) < set(everything)
    assert everything == pictures(data.train)


def test_more_train_images_than_there_are() -> None:
    with pytest.raises(UserError, match=r"^train_images is 9001, but fashion-mnist-12k has 9000 .* use 9000 or fewer$"):
        load(DataConfig(train_images=9001))


# --- measures ---


def test_mean_and_std_are_those_of_the_training_pixels(data: Data) -> None:
    pixels = images_of(data.train).double() / 255
    assert data.format.mean == pytest.approx(pixels.mean(dim=(0, 2, 3)).tolist(), abs=1e-9)
    assert data.format.std == pytest.approx(pixels.std(dim=(0, 2, 3), correction=0).tolist(), abs=1e-9)


def test_a_constant_channel_has_a_std_to_divide_by() -> None:
    images = ArrayImages(np.full((3, 1, 4, 4), 255, dtype=np.uint8))
    assert measure(images, "image") == ((1.0,), (1 / 255,))


@pytest.mark.parametrize(
    ("file", "name", "key"),
    [
        (shipped.FASHION_FILE, "fashion-mnist-12k", "train_images"),
        (shipped.FASHION_FILE, "fashion-mnist-12k", "test_labels"),
        (shipped.EMOJI_FILE, "emoji", "images"),
        (shipped.EMOJI_FILE, "emoji", "labels"),
    ],
)
def test_checksum_changes_with_one_pixel_or_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, name: str, key: str
) -> None:
    before = load(DataConfig(name=name)).checksum
    with np.load(shipped.BUNDLED / file) as archive:
        array = archive[key]
    if key == "labels":
        array[:2] = (array[0] + 1) % 9  # both drawings of the first emoji
    else:
        array.flat[-1] ^= 1
    copy_shipped(tmp_path, monkeypatch, file, **{key: array})
    assert load(DataConfig(name=name)).checksum != before


def test_checksum_is_of_the_set_not_of_the_configuration() -> None:
    checksums = {load(DataConfig(image_px=px, validation_fraction=f)).checksum for px, f in ((None, 0.1), (14, 0.3))}
    assert len(checksums) == 1
    assert re.fullmatch("[0-9a-f]{64}", checksums.pop())


# --- images ---


def test_batches_are_rows_in_the_order_asked_for() -> None:
    array = np.arange(4 * 3 * 5 * 5, dtype=np.uint16).astype(np.uint8).reshape(4, 3, 5, 5)
    whole = Joined(ArrayImages(array), Classes([7, 8, 9, 7], list("abcdefghij")), Texts(["a", "b", "c", "d"]))
    images = whole.take(torch.tensor([3, 1, 0]))
    batch = images.read(torch.tensor([2, 0, 2]), "image")
    assert batch.dtype == torch.uint8
    assert np.array_equal(batch.numpy(), array[[0, 3, 0]])
    assert (classes_of(images).tolist(), images.read(images.rows, "text")) == ([7, 8, 7], ["d", "b", "a"])
    assert classes_of(images).dtype == torch.int64


def test_subsets_share_the_array_also_when_pickled_together() -> None:
    data = load(DataConfig())
    text = pickle.dumps(data)
    assert len(text) < 2 * 12_000 * 28 * 28
    back = pickle.loads(text)
    assert back.pretrain is back.train
    assert split_digest(back) == split_digest(data)


def test_arrays_are_resized_to_image_px() -> None:
    small, own = load(DataConfig(image_px=14)), load(DataConfig())
    rows = torch.arange(8)
    assert small.image_px == 14
    assert small.train.read(rows, "image").shape == (8, 1, 14, 14)
    assert small.train.read(rows[:0], "image").shape == (0, 1, 14, 14)
    halves = torch.nn.functional.avg_pool2d(own.train.read(rows, "image").float(), 2)
    assert (
        small.train.read(rows, "image").float() - halves
    ).abs().mean() < 8  # of 255; another picture is 50 and more away
    assert load(DataConfig(image_px=32)).test.read(rows, "image").shape == (8, 1, 32, 32)


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 3, 4, 5), np.uint8), np.zeros((2, 4, 4), np.uint8), np.zeros((2, 3, 4, 4), np.float32)],
    ids=["oblong", "no channels", "float"],
)
def test_arrays_that_are_no_pictures(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"pictures must be uint8 \[N, 1 or 3, H, H\]"):
        ArrayImages(array)


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """Half red, half blue in every mode that Pillow writes to PNG, 30 x 20, blue transparent where there is alpha."""
    rgb = np.zeros((20, 30, 3), np.uint8)
    rgb[:, :15, 0] = rgb[:, 15:, 2] = 255
    red_blue = Image.fromarray(rgb)
    red_blue.save(tmp_path / "rgb.png")
    red_blue.save(tmp_path / "rgb.jpg", quality=95)
    red_blue.convert("L").save(tmp_path / "grey.png")
    alpha = Image.fromarray(np.where(rgb[..., 2] > 0, 0, 255).astype(np.uint8))
    rgba = red_blue.copy()
    rgba.putalpha(alpha)
    rgba.save(tmp_path / "rgba.png")
    palette = red_blue.quantize(4)
    palette.save(tmp_path / "palette.png")
    blue = palette.getpixel((29, 0))
    palette.save(tmp_path / "palette_alpha.png", transparency=bytes(0 if i == blue else 255 for i in range(4)))
    Image.fromarray(np.where(rgb[..., 0] > 0, 60_000, 30_000).astype(np.uint16)).save(tmp_path / "grey16.png")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "left", "right"),
    [
        ("rgb.png", (255, 0, 0), (0, 0, 255)),
        ("rgb.jpg", (255, 0, 0), (0, 0, 255)),
        ("grey.png", (76, 76, 76), (29, 29, 29)),
        ("rgba.png", (255, 0, 0), (255, 255, 255)),
        ("palette.png", (255, 0, 0), (0, 0, 255)),
        ("palette_alpha.png", (255, 0, 0), (255, 255, 255)),
        ("grey16.png", (60_000 >> 8,) * 3, (30_000 >> 8,) * 3),
    ],
)
def test_files_of_every_mode_become_three_channels(
    picture_folder: Path, file: str, left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    batch = FileImages(picture_folder, [file], image_px=10).read(torch.tensor([0]), "image")
    assert batch.shape == (1, 3, 10, 10)
    assert batch[0, :, 5, 1].tolist() == pytest.approx(left, abs=3)
    assert batch[0, :, 5, 8].tolist() == pytest.approx(right, abs=3)


def test_files_are_cut_at_the_centre(tmp_path: Path) -> None:
    wide = np.zeros((10, 40), np.uint8)
    wide[:, 15:25] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(wide.T.copy()).save(tmp_path / "tall.png")
    batch = FileImages(tmp_path, ["wide.png", "tall.png"], image_px=10).read(torch.tensor([0, 1]), "image")
    assert batch.min() == 255


def test_files_keep_their_order_in_threads_and_pickles(tmp_path: Path) -> None:
    for grey in range(40):
        Image.new("L", (6, 6), grey).save(tmp_path / f"{grey}.png")
    files = FileImages(tmp_path, [f"{grey}.png" for grey in range(40)], image_px=6)
    images = Joined(files, Classes(range(40), [str(grey) for grey in range(40)]))
    part = pickle.loads(pickle.dumps(images.take(torch.arange(39, -1, -1))))
    index = shuffled(40, "x")
    batch = part.read(index, "image")
    assert batch[:, 0, 0, 0].tolist() == (39 - index).tolist() == part.read(index, "class").tolist()
    assert part.read(index[:0], "image").shape == (0, 3, 6, 6)


@pytest.mark.parametrize("content", [b"this is no picture", b"\x89PNG\r\n\x1a\nand then nothing", b""])
def test_an_unreadable_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "garbage.png").write_bytes(content)
    with pytest.raises(
        UserError, match=rf"^can't read the picture {tmp_path}/garbage\.png: .+; repair it or take it out$"
    ):
        FileImages(tmp_path, ["garbage.png"], 8).read(torch.tensor([0]), "image")


def test_a_truncated_file_is_named(picture_folder: Path) -> None:
    for file in ("rgb.png", "rgb.jpg"):
        whole = (picture_folder / file).read_bytes()
        (picture_folder / file).write_bytes(whole[: len(whole) * 2 // 3])
        with pytest.raises(UserError, match=rf"can't read the picture {picture_folder}/{file}: (?i:.*truncated)"):
            FileImages(picture_folder, [file], 8).read(torch.tensor([0]), "image")


# --- mistakes ---


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "cifar-10"}, "no data set is called 'cifar-10'; did you mean 'cifar10'"),
        ({"name": "fashion"}, "did you mean 'fashion-mnist'"),
        ({"name": "folder:"}, "no data set is called 'folder:'; did you mean 'folder:PATH'"),
        ({"train_images": 0}, "greater than or equal to 1"),
        ({"validation_fraction": 0.0}, "greater than 0"),
        ({"validation_fraction": 1.0}, "less than 1"),
        ({"image_px": 0}, "greater than or equal to 1"),
    ],
)
def test_wrong_settings(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        DataConfig(**fields)


def test_config_round_trips_through_json() -> None:
    config = DataConfig(name="folder:/pictures", train_images=5, validation_fraction=0.25, image_px=64)
    assert DataConfig.model_validate_json(config.canonical_json()) == config


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("damage", ["truncated", "missing", "overwritten"])
def test_damaged_shipped_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: str) -> None:
    file = tmp_path / (shipped.EMOJI_FILE if name == "emoji" else shipped.FASHION_FILE)
    content = (shipped.BUNDLED / file.name).read_bytes()
    if damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "overwritten":
        file.write_bytes(content[:100_000] + bytes(1000) + content[101_000:])
    monkeypatch.setattr(shipped, "BUNDLED", tmp_path)
    with pytest.raises(UserError, match=rf"^{name} in {file} is damaged \(.+\); install Unlabeled again$"):
        load(DataConfig(name=name))


@pytest.mark.parametrize(
    ("name", "file", "key", "change"),
    [
        ("fashion-mnist-12k", shipped.FASHION_FILE, "train_images", lambda x: x.astype(np.float32)),
        ("fashion-mnist-12k", shipped.FASHION_FILE, "train_images", lambda x: x[:, :, :27]),
        ("fashion-mnist-12k", shipped.FASHION_FILE, "train_labels", lambda x: x[:-1]),
        ("fashion-mnist-12k", shipped.FASHION_FILE, "test_labels", lambda x: x + np.uint8(1)),
        ("fashion-mnist-12k", shipped.FASHION_FILE, "test_labels", lambda x: x.astype(np.float32)),
        ("emoji", shipped.EMOJI_FILE, "images", lambda x: x[..., 0]),
        ("emoji", shipped.EMOJI_FILE, "captions", lambda x: x[1:]),
        ("emoji", shipped.EMOJI_FILE, "emoji", lambda x: x[1:]),
    ],
)
def test_wrong_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str, key: str, change) -> None:
    with np.load(shipped.BUNDLED / file) as archive:
        changed = change(archive[key])
    path = copy_shipped(tmp_path, monkeypatch, file, **{key: changed})
    with pytest.raises(UserError, match=rf"^{name} in {path} is damaged \(.+\); install Unlabeled again$"):
        load(DataConfig(name=name))


def test_pickled_arrays_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_shipped(tmp_path, monkeypatch, shipped.FASHION_FILE, train_labels=np.array([print, 1], dtype=object))
    with pytest.raises(UserError, match=r"is damaged .*allow_pickle=False"):
        load(DataConfig())


def test_data_root_is_the_argument_else_the_environment_else_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNLABELED_DATA", raising=False)
    assert data_root() == tmp_path / "data"
    monkeypatch.setenv("UNLABELED_DATA", "/elsewhere")
    assert data_root() == Path("/elsewhere")
    assert data_root(Path("given")) == tmp_path / "given"


def test_what_is_downloaded_and_run_in_a_checkout_is_ignored_by_git_and_so_by_ray(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    for variable in ("UNLABELED_DATA", "UNLABELED_HOME"):
        monkeypatch.delenv(variable, raising=False)
    ignored = (root / ".gitignore").read_text().splitlines()
    for place in (data_root(), find_home()):  # Ray packs a job's folder without what .gitignore names
        assert f"/{place.relative_to(root)}/" in ignored


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sets_need_no_download(name: str) -> None:
    assert "ships with Unlabeled" in download(name)


def test_downloading_what_does_not_exist() -> None:
    with pytest.raises(UserError, match="no data set is called 'mnist'"):
        download("mnist")


def test_items_without_a_class_are_not_learnt_from_where_their_group_is_measured() -> None:
    pairs = torch.arange(48) // 2  # of each the first has a class
    rows = _Rows.of(DataConfig(), Contents(train=held(48), checksum="", groups=pairs))
    learnt, measured = torch.cat([rows.train, rows.unlabelled]), torch.cat([rows.validation, rows.test])
    assert len(rows.unlabelled) == len(rows.train) > len(measured) > 0
    assert not set(pairs[learnt].tolist()) & set(pairs[measured].tolist())
