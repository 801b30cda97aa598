"""Tux Paint's stamps: of a folder made here, of a package made here, and of the real one where it is installed."""

import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from media import picture, pitch, sound, tone
from PIL import Image
from sources import classes_of, images_of

from unlabeled.platform.data import DATASETS, Data, DataConfig, download, load
from unlabeled.platform.data.readers import stamps
from unlabeled.platform.data.readers.deb import unpack
from unlabeled.platform.data.readers.initials import MANNERS, manner
from unlabeled.platform.errors import UserError

LANGUAGES = list(stamps.LANGUAGES)


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(stamps, "INSTALLED", tmp_path / "not-installed")


def make(place: Path, count: int = 6) -> Path:
    """Make stamps: in two categories some pictures, each twice as wide as high, of which the names are spoken."""
    for category in ("animals", "town"):
        for number in range(count):
            stem = place / category / "some" / f"thing{number}"
            pixels = np.zeros((20, 40, 4), np.uint8)
            pixels[:, :20] = (200, 0, 0, 255)
            stem.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(stem.with_suffix(".png"))
            name = f"A {category} {number}"
            stem.with_suffix(".txt").write_text(f"{name}\nfr.utf8=Un merle {number}\nru.utf8=Дрозд {number}\n")
            for place_in, language in enumerate(("fr", "ru")):
                heard = tone(300 + 300 * place_in, 0.5 + 0.25 * number, 44_100, level=0.1 + 0.3 * place_in)
                sound(stem.with_name(f"{stem.name}_desc_{language}.ogg"), heard, 44_100)
            sound(stem.with_name(f"{stem.name}.ogg"), tone(100, 0.2))
            sound(stem.with_name(f"{stem.name}_desc.ogg"), tone(100, 0.2))
            (stem.with_name(f"{stem.name}_mirror.png")).write_bytes(stem.with_suffix(".png").read_bytes())
    return place


def read(name: str, place: Path, **settings: object) -> Data:
    return load(DataConfig(name=f"{name}:{place}", **settings))


def test_stamps_are_whole_pictures_on_white_with_a_name(tmp_path: Path) -> None:
    data = read("stamps", make(tmp_path / "stamps"), image_px=16)
    assert sum(map(len, (data.train, data.validation, data.test))) == 12, "mirrored ones are no others"
    assert len(data.classes) == 16
    for part in (data.train, data.validation, data.test):
        for pixels, number, name in zip(images_of(part), classes_of(part), part.read(part.rows, "text"), strict=True):
            assert name.split()[1] == data.classes[number]
            assert pixels[:, 0].min() == pixels[:, 15].min() == 255, "white above and below"
            assert pixels[:, 8, 2].tolist() == [200, 0, 0]
            assert pixels[:, 8, 13].tolist() == [255, 255, 255], "and where it is transparent"


def test_spoken_names_are_equally_loud_with_all_that_is_told(tmp_path: Path) -> None:
    data = read("stamps-spoken", make(tmp_path / "stamps"))
    assert sum(map(len, (data.train, data.validation, data.test))) == 24
    fields = data.train.fields
    assert set(fields) == {"wave", "class", "initial", "category", "text", "image"}
    assert (fields["wave"].shape, fields["wave"].rate, data.field) == ((1, 20_480), 16_000.0, "wave")
    for part in (data.train, data.validation, data.test):
        waves = part.tensor(part.rows, "wave")[:, 0].numpy()
        languages = [LANGUAGES[number] for number in classes_of(part).tolist()]
        for wave, language, text in zip(waves, languages, part.read(part.rows, "text"), strict=True):
            number = int(text.split()[-1])
            told = min(20_480, int((0.5 + 0.25 * number) * 16_000))
            assert pitch(wave[:told]) == pytest.approx({"fr": 300, "ru": 600}[language], abs=3)
            assert np.abs(wave[told + 10 :]).max(initial=0) == 0
            assert np.square(wave[:told]).mean() ** 0.5 == pytest.approx(stamps.LEVEL, rel=0.01)
            assert text.startswith({"fr": "Un merle", "ru": "Дрозд"}[language])
        initials = [MANNERS[number] for number in part.tensor(part.rows, "initial").tolist()]
        assert initials == [{"fr": "nasal", "ru": "plosive"}[language] for language in languages]
        assert part.known("image").all()


def test_a_word_is_in_one_split_in_all_its_languages(tmp_path: Path) -> None:
    data = read("stamps-spoken", make(tmp_path / "stamps", count=10), seconds=0.1)
    categories = data.train.fields["category"].classes
    words = [
        {
            (categories[category], text.split()[-1])
            for category, text in zip(
                part.tensor(part.rows, "category").tolist(), part.read(part.rows, "text"), strict=True
            )
        }
        for part in (data.train, data.validation, data.test)
    ]
    assert sum(map(len, words)) == 20
    for part in (data.train, data.validation, data.test):
        counts = classes_of(part).bincount(minlength=9)
        assert counts[LANGUAGES.index("fr")] == counts[LANGUAGES.index("ru")] > 0


def test_what_is_not_told_or_drawn_is_not_known(tmp_path: Path) -> None:
    place = make(tmp_path / "stamps")
    (place / "animals/some/thing0.txt").unlink()
    (place / "animals/some/thing1.png").unlink()
    data = read("stamps-spoken", place, seconds=0.1)
    known = {
        name: sum(int(part.known(name).sum()) for part in (data.train, data.validation, data.test))
        for name in data.train.fields
    }
    assert known == {"wave": 24, "class": 24, "category": 24, "initial": 22, "text": 22, "image": 22}


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Une chèvre.", "fr", 2), ("L'hélicoptère.", "fr", 0), ("Un cactus.", "fr", 1), ("Des cerises.", "fr", 2),
        ("El caballo.", "es", 1), ("Una llama.", "es", 0), ("Un gigante.", "es", 2), ("Los huevos.", "es", 0),
        ("O mierlă.", "ro", 3), ("En jordbær.", "da", 0), ("Ένα μπαλόνι.", "el", 1), ("Η γάτα.", "el", 2),
        ("Гусь.", "be", 2), ("Гусь.", "ru", 1), ("Ёлка.", "ru", 0), ("Un", "fr", 0), ("", "fr", -1), ("7", "fr", -1),
        ("Una rosa", "ca", 4), ("Llapis", "ca", 4),
    ],
)  # fmt: skip
def test_how_a_name_begins(text: str, language: str, expected: int) -> None:
    assert manner(text, language) == expected


# --- the package ---


def package(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None, kind: str = "xz") -> Path:
    """Write a Debian package."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{kind}") as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
        for name, target in (links or {}).items():
            about = tarfile.TarInfo(name)
            about.type, about.linkname = tarfile.SYMTYPE, target
            archive.addfile(about)
    made = b"!<arch>\n"
    for name, content in (
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", b"odd"),
        (f"data.tar.{kind}", data.getvalue()),
    ):
        made += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        made += b"\n" * (len(content) % 2)
    path.write_bytes(made)
    return path


def packed(path: Path, place: Path, **more: str) -> Path:
    files = {f"./usr/share/tuxpaint/stamps/{file.relative_to(place)}": file for file in sorted(place.rglob("*.*"))}
    return package(path, {name: file.read_bytes() for name, file in files.items()}, **more)


@pytest.mark.parametrize("kind", ["xz", "gz"])
def test_a_package_is_the_same_data_as_its_folder(tmp_path: Path, kind: str) -> None:
    place = make(tmp_path / "stamps")
    file = packed(tmp_path / "stamps.deb", place, kind=kind)
    of_folder, of_file = read("stamps", place), read("stamps", file)
    assert of_folder.checksum == of_file.checksum
    assert torch.equal(images_of(of_folder.test), images_of(of_file.test))
    root = tmp_path / "root"
    assert download(f"stamps:{file}", root) == f"stamps:{file} is in {root}/tuxpaint-stamps"
    assert load(DataConfig(name="stamps"), root).checksum == of_folder.checksum
    assert load(DataConfig(name="stamps-spoken"), root).checksum == read("stamps-spoken", place).checksum


def test_a_package_is_unpacked_within_its_folder_alone(tmp_path: Path) -> None:
    below = "./usr/share/tuxpaint/stamps"
    members = {
        f"{below}/animals/a.png": b"1",
        f"{below}/../../../../evil.png": b"2",
        "../evil.png": b"3",
        "/tmp/evil.png": b"4",
        f"{below}/animals/a.sh": b"5",
        "./usr/share/other/b.png": b"6",
    }
    file = package(tmp_path / "x.deb", members, {f"{below}/animals/link.png": "/etc/hostname"})
    unpack(file, "usr/share/tuxpaint/stamps", (".png",), tmp_path / "out" / "place")
    assert [path.relative_to(tmp_path) for path in sorted(tmp_path.rglob("*")) if path.is_file()] == [
        Path("out/place/animals/a.png"),
        Path("x.deb"),
    ]
    assert not Path("/tmp/evil.png").exists()


@pytest.mark.parametrize("keep", [0, 5, 100, 400, -60])
def test_a_damaged_package_is_one_line_and_leaves_nothing(tmp_path: Path, keep: int) -> None:
    file = packed(tmp_path / "stamps.deb", make(tmp_path / "stamps", count=1))
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"^stamps\.deb in .* is damaged \(.*\); get it again$"):
        read("stamps", file)
    assert not list((tmp_path / "cache").glob("**/*.png"))


def test_stamps_that_are_not_there_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(DataConfig(name="stamps"), tmp_path)
    assert str(caught.value) == (
        f"stamps is neither in {tmp_path}/tuxpaint-stamps nor in {tmp_path}/not-installed; `apt-get install "
        "tuxpaint-stamps-default`, or `apt-get download` it and write stamps:FILE.deb"
    )
    with pytest.raises(UserError, match=r"^stamps come as a Debian package: `apt-get install tuxpaint-stamps-default`"):
        download("stamps", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        UserError, match=r"^there are no stamps in .*/empty; it has folders such as animals and clothes"
    ):
        read("stamps", tmp_path / "empty")
    with pytest.raises(UserError, match=r"^there is no folder .*/gone\.deb$"):
        read("stamps", tmp_path / "gone.deb")


def test_a_damaged_stamp_is_named(tmp_path: Path) -> None:
    place = make(tmp_path / "stamps")
    (place / "town/some/thing1.png").write_bytes(b"garbage")
    with pytest.raises(
        UserError, match=r"^can't read the picture .*town/some/thing1\.png: .*repair it or take it out$"
    ):
        read("stamps", place)
    picture(place / "town/some/thing1.png", np.zeros((4, 4, 3), np.uint8))
    (place / "town/some/thing1_desc_fr.ogg").write_bytes(b"garbage")
    with pytest.raises(UserError, match=r"^can't read the sound .*thing1_desc_fr\.ogg: .*repair it or take it out$"):
        read("stamps-spoken", place)


@pytest.mark.slow
@pytest.mark.needs("stamps")
def test_the_real_ones_are_what_their_description_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "INSTALLED", Path("/usr/share/tuxpaint/stamps"))
    for name in stamps.NAMES:
        data = load(DataConfig(name=name))
        count = int(re.match(r"([\d,]+) in all", DATASETS[name].size).group(1).replace(",", ""))
        assert sum(map(len, (data.train, data.validation, data.test))) == count
        assert len(classes_of(data.train).unique()) == len(data.classes)
