"""Films, cut into clips."""

import re
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from media import CODECS, film, grey, pitch, tone, turned
from sources import classes_of

from unlabeled.platform.cli.options import from_here
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.data.readers import films
from unlabeled.platform.data.readers.decoded import frames_at, sound_at, span
from unlabeled.platform.errors import UserError

CLOSE = 4  # levels of 255, that a film's format may change


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def read(place: Path, **settings: object) -> Data:
    return load(DataConfig(name=f"films:{place}", **{"image_px": 16, "frames": 4, **settings}))


def levels(path: Path, times: list[float]) -> list[int]:
    return frames_at(path, times, 8)[:, 0, 4, 4].tolist()


def brute(path: Path, times: list[float]) -> list[int]:
    """Decode everything, and take the newest frame at each time."""
    with av.open(str(path)) as container:
        shown = [
            (float(f.pts * f.time_base), int(f.to_ndarray(format="rgb24")[16, 24, 0]))
            for f in container.decode(video=0)
        ]
    return [[level for at, level in shown if at <= time + 1e-4 or at == shown[0][0]][-1] for time in times]


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("rate", [10, 24, 30])
def test_a_film_shows_what_is_on_the_screen_at_a_time(tmp_path: Path, suffix: str, rate: int) -> None:
    path = film(tmp_path / f"x{suffix}", frames=48, rate=rate)
    start, end, _ = span(path)
    assert end - start == pytest.approx(48 / rate, abs=0.02)
    for first in (0.0, 0.3, 0.9, 1.1):
        times = [start + first + n / 8 for n in range(4)]
        found = levels(path, times)
        assert np.abs(np.subtract(found, brute(path, times))).max() <= 2
        expected = [grey(int((time - start) * rate + 0.01)) for time in times]
        assert np.abs(np.subtract(found, expected)).max() <= CLOSE


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_frames_that_are_stored_in_another_order(tmp_path: Path, suffix: str) -> None:
    path = film(tmp_path / f"x{suffix}", frames=40, rate=20, codec="mpeg4", b_frames=2)
    start, end, _ = span(path)
    assert end - start == pytest.approx(2, abs=0.11)
    times = [start + n / 20 for n in range(38)]
    assert np.abs(np.subtract(levels(path, times), [grey(n) for n in range(38)])).max() <= CLOSE
    late = times[25:29]
    assert levels(path, late) == levels(path, times)[25:29], "also where decoding begins at a keyframe"


def test_frames_of_a_changing_rate_are_read_at_their_times(tmp_path: Path) -> None:
    times = [0, 40, 80, 500, 520, 540, 1500, 1540, 1580, 1900]
    path = film(tmp_path / "x.mkv", frames=len(times), times=times)
    assert span(path)[1] == pytest.approx(1.94, abs=0.03)
    wanted = [n / 10 for n in range(19)]
    newest = [grey(sum(at <= 1000 * time + 0.1 for at in times) - 1) for time in wanted]
    assert np.abs(np.subtract(levels(path, wanted), newest)).max() <= CLOSE
    for time, level in zip(wanted, newest, strict=True):
        assert abs(levels(path, [time])[0] - level) <= CLOSE, "also where that is the first"


def test_a_film_that_begins_late_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = film(tmp_path / "x.mkv", frames=20, times=[700 + 100 * n for n in range(20)])
    start, end, _ = span(path)
    assert (start, end) == pytest.approx((0.7, 2.7), abs=0.03)
    assert np.abs(np.subtract(levels(path, [start, start + 1]), [grey(0), grey(10)])).max() <= CLOSE


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turned_and_mirrored_films_are_upright(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    pictures = np.full((6, 32, 48, 3), 30, np.uint8)
    pictures[:, :16, :24], pictures[:, :16, 24:] = 220, 130  # at the upper left and right, as stored
    path = film(tmp_path / "x.mp4", pictures=pictures)
    if degrees or mirrored:
        turned(path, degrees, mirrored=mirrored)
    x = frames_at(path, [0.0], 16)[0, 0]
    corners = np.array([x[2, 2], x[2, 13], x[13, 13], x[13, 2]], int)  # clockwise
    stored = [130, 220, 30, 30] if mirrored else [220, 130, 30, 30]
    assert np.abs(corners - np.roll(stored, degrees // 90)).max() <= 2 * CLOSE


@pytest.mark.parametrize(
    ("size", "pix_fmt", "codec"),
    [
        ((47, 33), "yuv444p", "ffv1"),
        ((33, 47), "gray", "ffv1"),
        ((32, 32), "gray16le", "ffv1"),
        ((48, 32), "bgr0", "ffv1"),
        ((48, 32), "yuv422p10le", "ffv1"),
    ],
)
def test_films_of_odd_sizes_and_pixels(tmp_path: Path, size: tuple[int, int], pix_fmt: str, codec: str) -> None:
    pictures = np.zeros((4, size[1], size[0], 3), np.uint8)
    pictures[:, size[1] // 2 :] = 200
    x = frames_at(film(tmp_path / "x.mkv", size=size, pix_fmt=pix_fmt, codec=codec, pictures=pictures), [0.0, 0.2], 16)
    assert x.shape == (2, 3, 16, 16)
    assert x[:, :, :6].max() <= CLOSE
    assert np.abs(x[:, :, 10:].astype(int) - 200).max() <= CLOSE


def test_the_centre_square_is_cut_as_the_film_is_shown(tmp_path: Path) -> None:
    pictures = np.zeros((4, 32, 32, 3), np.uint8)
    pictures[:, :, 8:24] = 255
    path = film(tmp_path / "x.mkv", size=(32, 32), pictures=pictures, aspect=Fraction(2, 1))
    assert frames_at(path, [0.0], 16)[0, 0, 8, 1:-1].min() > 240, (
        "64 x 32 on the screen, so all that is cut out is white"
    )
    pictures = np.zeros((4, 32, 64, 3), np.uint8)
    pictures[:, :, 16:48] = 255
    assert frames_at(film(tmp_path / "y.mkv", size=(64, 32), pictures=pictures), [0.0], 16)[0, 0, 8, 1:-1].min() > 240


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_sound_is_read_at_its_time(tmp_path: Path, suffix: str) -> None:
    heard = np.concatenate([tone(440, 1), np.zeros(16_000, np.float32), tone(1200, 1)])
    path = film(tmp_path / f"x{suffix}", frames=30, sound=heard)
    first, second, third = (sound_at(path, start, 16_000, 16_000) for start in (0.0, 1.0, 2.0))
    assert (pitch(first), pitch(third)) == pytest.approx((440, 1200), abs=2)
    assert np.abs(second[1000:15000]).max() < 0.01
    assert np.square(first[500:15500]).mean() ** 0.5 == pytest.approx(0.5 / 2**0.5, rel=0.05)
    assert np.array_equal(sound_at(path, 1.5, 16_000, 16_000)[9000:], sound_at(path, 1.5, 16_000, 16_000)[9000:])
    both = sound_at(path, 1.5, 16_000, 16_000)
    assert np.abs(both[:7500]).max() < 0.01
    assert np.square(both[8500:15000]).mean() ** 0.5 == pytest.approx(0.5 / 2**0.5, rel=0.05)
    half = sound_at(path, 0.0, 8_000, 8_000)
    assert pitch(half, 8_000) == pytest.approx(440, abs=2)


# --- a folder of films ---


def write(place: Path, count: int = 5, sound: bool = True, **more: int) -> Path:
    for number in range(count):
        for place_in, class_name in enumerate(("run", "swim")):
            heard = tone(400 + 400 * place_in, 2.0) if sound else None
            film(place / class_name / f"{number}.mkv", sound=heard, **more)
    return place


def test_a_folder_of_films_is_clips_with_classes_and_sound(tmp_path: Path) -> None:
    data = read(write(tmp_path / "films"))
    assert (len(data.train), len(data.validation), len(data.test)) == (24, 8, 8) or len(data.train) % 4 == 0
    assert data.classes == ("run", "swim")
    assert data.train.fields["clip"].shape == (4, 3, 16, 16)
    assert (data.train.fields["clip"].rate, data.train.fields["wave"].rate) == (8.0, 16_000.0)
    waves = data.train.tensor(data.train.rows, "wave")
    pitches = [pitch(wave[0].numpy()) for wave in waves]
    expected = [400 + 400 * number for number in classes_of(data.train).tolist()]
    assert pitches == pytest.approx(expected, abs=5)
    clips = data.train.tensor(data.train.rows, "clip")
    firsts = {round((int(clip[0, 0, 8, 8]) - 20) / 20) for clip in clips}
    assert firsts == {0, 1, 2, 3}, "clips of half a second, so every fifth frame begins one"
    assert "clips of 4 frames (0.5 s) of 16 px, colour" in data.summary()
    assert data.format.image_px == 16


def test_clips_of_one_film_stay_together(tmp_path: Path) -> None:
    data = read(write(tmp_path / "films", count=6))
    where = [{int(film) for film in part.of("clip")._film} for part in (data.train, data.validation, data.test)]
    assert sum(map(len, where)) == 12
    assert not where[0] & where[1]
    assert not where[0] & where[2]
    assert not where[1] & where[2]


def test_published_splits_are_kept(tmp_path: Path) -> None:
    write(tmp_path / "films" / "train", count=4)
    write(tmp_path / "films" / "test", count=1)
    data = read(tmp_path / "films")
    assert len(data.test) == 8
    assert len(data.train) + len(data.validation) == 32


def test_a_film_without_sound_leaves_clips_alone(tmp_path: Path) -> None:
    write(tmp_path / "films", count=2)
    film(tmp_path / "films" / "run" / "silent.mkv")
    assert set(read(tmp_path / "films").train.fields) == {"clip", "class"}


def test_what_is_measured_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(write(tmp_path / "films", count=3))
    monkeypatch.setattr(films, "span", lambda path: pytest.fail(f"{path} is measured again"))
    again = read(tmp_path / "films")
    assert again.checksum == first.checksum
    assert torch.equal(again.train.tensor(again.train.rows, "clip"), first.train.tensor(first.train.rows, "clip"))
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    film(tmp_path / "films" / "run" / "1.mkv", frames=30, sound=tone(300, 3.0))
    changed = read(tmp_path / "films")
    assert changed.checksum != first.checksum
    assert sum(map(len, (changed.train, changed.validation, changed.test))) == 6 * 4 + 2


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("what", ["garbage", "empty", "cut off"])
def test_a_damaged_film_is_one_line_that_names_it(tmp_path: Path, suffix: str, what: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    good = film(tmp_path / "films" / "run" / f"bad{suffix}", pictures=noise, size=(64, 64))
    whole = good.read_bytes()
    good.write_bytes({"garbage": b"garbage" * 999, "empty": b"", "cut off": whole[: len(whole) // 2]}[what])
    write(tmp_path / "films", count=2, sound=False)
    with pytest.raises(UserError) as caught:
        read(tmp_path / "films")
    pattern = rf"can't read the film {tmp_path}/films/run/bad\{suffix}: [^\n]+; repair it or take it out"
    assert re.fullmatch(pattern, str(caught.value)), caught.value


def test_a_film_that_is_damaged_within_is_named_when_it_is_read(tmp_path: Path) -> None:
    data = read(write(tmp_path / "films", count=3, sound=False))
    for path in (tmp_path / "films").rglob("*.mkv"):
        path.write_bytes(b"\0" * 2000)
    with pytest.raises(UserError, match=r"^can't read the film .*\.mkv: .*; repair it or take it out$"):
        data.train.read(torch.tensor([0]), "clip")
    for path in (tmp_path / "films").rglob("*.mkv"):
        path.unlink()
    with pytest.raises(UserError, match=r"^can't read .*\.mkv \(no such file or directory\); make it readable"):
        data.train.read(torch.tensor([0]), "clip")


def test_films_shorter_than_a_clip_say_what_fits(tmp_path: Path) -> None:
    write(tmp_path / "films", count=2, sound=False)
    film(tmp_path / "films" / "run" / "short.avi", frames=6)
    with pytest.raises(UserError) as caught:
        read(tmp_path / "films", frames=8)
    assert str(caught.value) == (
        f"1 of 5 films in {tmp_path}/films is shorter than a clip of 1 seconds (8 frames at 8 per second), such as "
        "run/short.avi of 0.6; set data.frames to 4 or fewer, data.rate to 13.4 or more, or take it out"
    )
    assert read(tmp_path / "films", frames=4).train
    assert read(tmp_path / "films", frames=8, rate=13.4).train


def test_a_list_that_poses_as_a_film_opens_nothing(tmp_path: Path) -> None:
    good = film(tmp_path / "secret.mp4")
    bad = tmp_path / "films" / "x.avi"
    bad.parent.mkdir()
    bad.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{good}\n#EXT-X-ENDLIST\n")
    with pytest.raises(UserError, match=r"x\.avi"):
        read(tmp_path / "films")
    bad.write_text(f"ffconcat version 1.0\nfile {good}\n")
    with pytest.raises(UserError, match=r"x\.avi"):
        read(tmp_path / "films")


def test_a_missing_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "films", count=1, sound=False)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        UserError, match=r"^films need the package av .* `pip install 'unlabeled\[films-and-sounds\]'`$"
    ):
        read(tmp_path / "films")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": 4}, "fashion-mnist-12k has no frames, and 4 would be ignored; leave it out"),
        ({"name": "sounds:x", "image_px": 8}, r"sounds:x has no image_px, and 8 .* \(it has seconds, rate\)"),
        ({"name": "films:x", "seconds": 2.0}, "films:x has no seconds"),
        ({"name": "films:x", "frames": 0}, "frames"),
        ({"name": "films:"}, "no data set is called 'films:'"),
    ],
)
def test_settings_that_a_set_has_not_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DataConfig.checked(**settings)


def test_what_a_data_set_was_called_before_is_its_identity_still() -> None:
    assert DataConfig().identity() == {}
    assert DataConfig(name="emoji", image_px=64).identity() == {"name": "emoji", "image_px": 64}
    assert DataConfig(name="films:x", rate=4).identity() == {"name": "films:x", "rate": 4.0}


def test_a_path_starts_where_the_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in ("folder", "films", "sounds", "voc", "davis", "hf", "stamps", "stamps-spoken"):
        assert from_here(f"{kind}:mine") == f"{kind}:{tmp_path}/mine"
    for other in ("emoji", "http:mine", "films:", "stamps"):
        assert from_here(other) == other
