"""Sounds, cut into pieces."""

import itertools
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from media import pitch, sound, tone
from scipy.signal import resample_poly
from sources import classes_of

from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.data.readers.resampled import length_at, resampled
from unlabeled.platform.data.readers.sounds import read_sounds
from unlabeled.platform.errors import UserError


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def read(place: Path, **settings: object) -> Data:
    return load(DataConfig(name=f"sounds:{place}", **settings))


def waves(place: Path, **settings: object) -> np.ndarray:
    """Return all pieces in a folder in the order of its files, [N, S]."""
    source = read_sounds(f"sounds:{place}", place, settings.get("seconds"), settings.get("rate")).train
    return source.tensor(source.rows, "wave")[:, 0].numpy()


# --- another rate ---


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("to", [8_000, 16_000])
def test_a_window_is_a_part_of_the_whole_sound_at_another_rate(rate: int, to: int) -> None:
    whole = np.random.default_rng(0).normal(size=rate + 37).astype(np.float32)
    common = np.gcd(rate, to)
    expected = resample_poly(whole, to // common, rate // common)
    assert length_at(len(whole), rate, to) == len(expected)
    read_lengths = []

    def read(start: int, count: int) -> np.ndarray:
        assert 0 <= start < start + count <= len(whole)
        read_lengths.append(count)
        return whole[start : start + count]

    for start, count in (
        (0, 100),
        (1, 99),
        (500, 1000),
        (to - 50, 50),
        (len(expected) - 20, 60),
        (len(expected) + 5, 9),
    ):
        found = resampled(read, len(whole), rate, to, start, count)
        assert found.dtype == np.float32
        assert found == pytest.approx(np.pad(expected, (0, start + count))[start : start + count], abs=1e-6)
    assert max(read_lengths) < rate // 4, "no more is read than is needed"


def test_what_a_lower_rate_can_not_hold_is_filtered_out() -> None:
    high, low = tone(11_000, 1, 48_000), tone(1_000, 1, 48_000)
    mixed = resampled(lambda a, n: (high + low)[a : a + n], 48_000, 48_000, 16_000, 0, 16_000)
    assert pitch(mixed) == pytest.approx(1_000, abs=1)
    assert np.abs(mixed[500:-500] - tone(1_000, 1)[500:-500]).max() < 0.01, "11 kHz would have become 5"


# --- a folder of sounds ---


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_pitch_and_place_survive(tmp_path: Path, suffix: str, rate: int, channels: int) -> None:
    left = np.concatenate([tone(440, 1, rate), np.zeros(rate, np.float32), tone(1_500, 1, rate)])
    samples = left if channels == 1 else np.stack([left, left / 2], axis=1)
    sound(tmp_path / f"x{suffix}", samples, rate)
    pieces = waves(tmp_path, seconds=0.5)
    assert pieces.shape in ((6, 8_000), (7, 8_000)), "mp3 may add a few samples"
    loudness = np.sqrt(np.square(pieces[:, 800:-800]).mean(axis=1))
    expected = 0.5 / 2**0.5 * (1 if channels == 1 else 0.75)
    assert loudness[[0, 1, 4, 5]] == pytest.approx(np.full(4, expected), rel=0.1 if suffix == ".mp3" else 0.02), (
        "the mean of the channels"
    )
    assert loudness[[2, 3]].max() < 0.02
    assert [pitch(pieces[n]) for n in (0, 1, 4, 5)] == pytest.approx([440, 440, 1_500, 1_500], abs=5)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_a_piece_is_that_part_of_the_whole_file(tmp_path: Path, suffix: str) -> None:
    import soundfile

    noise = np.random.default_rng(0).normal(size=64_000).astype(np.float32) / 8
    whole, _ = soundfile.read(sound(tmp_path / f"x{suffix}", noise), dtype="float32")
    pieces = waves(tmp_path, seconds=0.25)
    assert len(pieces) >= 16
    for number, piece in enumerate(pieces):
        assert piece == pytest.approx(whole[4_000 * number :][:4_000], abs=1e-5)


def test_pieces_are_whole_and_a_short_sound_ends_in_silence(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", tone(300, 3.0))
    sound(tmp_path / "b.wav", tone(600, 0.5))
    pieces = waves(tmp_path)
    assert pieces.shape == (3, 20_480), "of 1.28 s: two of three seconds, one of half a second"
    assert [pitch(piece) for piece in pieces[:2]] == pytest.approx([300, 300], abs=2)
    assert np.abs(pieces[2, 8_000:]).max() == 0
    assert pitch(pieces[2, :8_000]) == pytest.approx(600, abs=2)
    assert np.concatenate(pieces[:2]) == pytest.approx(tone(300, 2.56), abs=1e-4)


def test_folders_are_classes_and_pieces_of_a_sound_stay_together(tmp_path: Path) -> None:
    for speaker, hertz in (("103", 300), ("1034", 900)):
        for chapter in range(5):
            sound(tmp_path / speaker / str(chapter) / f"{speaker}-{chapter}-0000.flac", tone(hertz, 1.7))
    (tmp_path / "103" / "0" / "103-0.trans.txt").write_text("103-0-0000 WHAT IS SAID\n")
    data = read(tmp_path, seconds=0.5, rate=8_000)
    assert data.classes == ("103", "1034")
    assert data.train.fields["wave"].rate == 8_000.0
    assert data.train.fields["wave"].shape == (1, 4_000)
    parts = (data.train, data.validation, data.test)
    assert sum(map(len, parts)) == 30
    files = [set(part.of("wave")._file.tolist()) for part in parts]
    assert sum(map(len, files)) == 10, "each sound is in one split"
    for part in parts:
        pitches = [pitch(wave[0].numpy(), 8_000) for wave in part.tensor(part.rows, "wave")]
        assert pitches == pytest.approx([(300, 900)[number] for number in classes_of(part).tolist()], abs=5)
    assert data.summary().startswith(f"sounds:{tmp_path}: ")
    assert "sounds of 0.5 s at 8 kHz, 2 classes" in data.summary()


def test_a_checksum_is_of_contents_names_and_classes(tmp_path: Path) -> None:
    def checksum(place: Path, **more: object) -> str:
        return read_sounds(f"sounds:{place}", place, more.get("seconds"), None).checksum

    for name in ("a", "b"):
        for number in range(3):
            sound(tmp_path / "x" / name / f"{number}.wav", tone(200 + 50 * number, 0.2))
    seen = [checksum(tmp_path / "x")]
    assert checksum(tmp_path / "x", seconds=0.1) == seen[0], "of the set, not of the settings"
    sound(tmp_path / "x" / "a" / "0.wav", tone(201, 0.2))
    seen.append(checksum(tmp_path / "x"))
    (tmp_path / "x" / "a" / "0.wav").rename(tmp_path / "x" / "b" / "9.wav")
    seen.append(checksum(tmp_path / "x"))
    assert len(set(seen)) == 3
    (tmp_path / "x").rename(tmp_path / "y")
    assert checksum(tmp_path / "y") == seen[-1]


def test_a_file_that_is_swapped_for_another_is_measured_anew(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", tone(300, 2.0))
    assert len(waves(tmp_path, seconds=0.5)) == 4
    sound(tmp_path / "a.wav", tone(300, 1.0, 44_100), 44_100)
    pieces = waves(tmp_path, seconds=0.5)
    assert [pitch(piece) for piece in pieces] == pytest.approx([300, 300], abs=5)


@pytest.mark.parametrize(
    ("suffix", "what"),
    [
        *itertools.product([".wav", ".flac", ".ogg"], ["garbage", "empty", "no samples"]),
        (".wav", "cut off"),
        (".flac", "cut off"),  # an Ogg is pages, and as whole as the last of them
    ],
)
def test_a_damaged_sound_is_one_line_that_names_it(tmp_path: Path, suffix: str, what: str) -> None:
    path = sound(tmp_path / f"x{suffix}", np.random.default_rng(0).normal(size=40_000).astype(np.float32) / 8)
    whole = path.read_bytes()
    if what == "no samples":
        sound(path, np.zeros(0, np.float32))
    else:
        path.write_bytes({"garbage": b"garbage" * 999, "empty": b"", "cut off": whole[: len(whole) // 2]}[what])
    with pytest.raises(UserError) as caught:
        waves(tmp_path)
    pattern = rf"can't read the sound {tmp_path}/x\{suffix}: [^\n]+; repair it or take it out"
    assert re.fullmatch(pattern, str(caught.value)), caught.value


def test_samples_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    import soundfile

    samples = tone(300, 0.2)
    samples[100] = np.nan
    soundfile.write(tmp_path / "x.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(UserError, match=r"^can't read the sound .*x\.wav: .* no numbers; repair it or take it out$"):
        waves(tmp_path)
    soundfile.write(tmp_path / "x.wav", tone(300, 0.2, level=3.0), 16_000, subtype="FLOAT")
    assert np.abs(waves(tmp_path)).max() == 1, "louder than is possible is cut"


def test_a_missing_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound(tmp_path / "x.wav", tone(300, 0.2))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UserError, match=r"^sounds need the package soundfile .*'unlabeled\[films-and-sounds\]'`$"):
        waves(tmp_path)


@pytest.mark.parametrize("rate", [16_000.5, 10, 1e9])
def test_rates_that_no_sound_has(tmp_path: Path, rate: float) -> None:
    sound(tmp_path / "x.wav", tone(300, 0.2))
    with pytest.raises(
        UserError, match=r"^data.rate of sounds is a whole number of samples per second, 1000 to 192000"
    ):
        waves(tmp_path, rate=rate)


def test_splits_of_a_sound_are_pieces(tmp_path: Path) -> None:
    for number in range(4):
        sound(tmp_path / f"{number}.wav", tone(300, 1.0))
    data = read(tmp_path, seconds=0.25)
    assert torch.equal(data.train.known("wave"), torch.ones(len(data.train), dtype=torch.bool))
    assert (len(data.train) + len(data.validation) + len(data.test), data.classes) == (16, ())
