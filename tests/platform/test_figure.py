"""Figures are values; what is drawn of them lies where they say."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.methods.multimodal.clip import CLIPConfig
from unlabeled.platform.augment.figure import Figure, filmstrip, heat, matches, spectrogram
from unlabeled.platform.augment.picture import draw_figure
from unlabeled.platform.config import RunConfig
from unlabeled.platform.method import MethodConfig
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.batches import clean_batch
from unlabeled.platform.train.loaded import load_cached

TILE, GAP = 112, 6


def page_of(figure: Figure) -> np.ndarray:
    return np.asarray(draw_figure(figure, "header"))


def colored(page: np.ndarray) -> np.ndarray:
    """Tell which pixels are no grey."""
    spread: np.ndarray = page.max(axis=2).astype(int) - page.min(axis=2)
    return spread > 60


def test_a_line_joins_two_places_of_pictures_of_two_sizes() -> None:
    first, second = torch.zeros(2, 1, 28, 28), torch.zeros(2, 1, 56, 56)
    here = torch.tensor([[[3.5, 20.5], [9.0, 9.0]], [[14.0, 14.0], [1.0, 1.0]]])
    there = torch.tensor([[[50.0, 40.5], [math.nan, 3.0]], [[28.0, 28.0], [math.nan, math.nan]]])
    page = page_of(matches(first, second, here, there, ("one", "two")))
    plain = page_of(Figure({"one": first, "two": second}))
    drawn = (page != plain).any(axis=2)
    pitch = TILE + GAP
    top = page.shape[0] - 2 * pitch
    for row, (start, end) in enumerate((((3.5, 20.5), (50.0, 40.5)), ((14.0, 14.0), (28.0, 28.0)))):
        x1, y1 = GAP + 4 * start[0], top + row * pitch + 4 * start[1]  # 28 px are enlarged to 112, 56 too
        x2, y2 = GAP + pitch + 2 * end[0], top + row * pitch + 2 * end[1]
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            x, y = round(x1 + share * (x2 - x1)), round(y1 + share * (y2 - y1))
            assert drawn[y - 2 : y + 3, x - 2 : x + 3].any()
        inside = drawn[top + row * pitch : top + row * pitch + TILE]
        ys, xs = inside.nonzero()
        assert abs(xs.min() - x1) <= 3
        assert abs(xs.max() - x2) <= 3
        assert abs(ys.min() + top + row * pitch - min(y1, y2)) <= 3, "and no line where there is no place"
        assert abs(ys.max() + top + row * pitch - max(y1, y2)) <= 3


def test_the_tiles_lie_where_lines_take_them_to_lie() -> None:
    light = page_of(Figure({"one": torch.zeros(2, 1, 28, 28), "two": torch.zeros(2, 1, 14, 14)}))
    pitch = TILE + GAP
    top = light.shape[0] - 2 * pitch
    black = (light == 0).all(axis=2)
    for row in range(2):
        for column in range(2):
            x, y = GAP + column * pitch, top + row * pitch
            assert black[y : y + TILE, x : x + TILE].all()
            assert not black[y : y + TILE, x - 1].any()
            assert not black[y - 1, x : x + TILE].any()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "a figure's columns are pictures .*, one or more; got {}"),
        ({"clip": torch.zeros(2, 3, 1, 8, 8)}, r"are pictures \[B, 1 or 3, h, w\].*'clip': \(2, 3, 1, 8, 8\)"),
        ({"two": torch.zeros(2, 2, 8, 8)}, r"are pictures \[B, 1 or 3, h, w\].*'two': \(2, 2, 8, 8\)"),
        ({"a": torch.zeros(2, 1, 8, 8), "b": torch.zeros(3, 1, 8, 8)}, "show equally many items"),
    ],
)
def test_what_can_not_be_drawn_is_one_clear_line(columns: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_figure(Figure(columns), "header")


def test_a_filmstrip_shows_frames_from_the_first_to_the_last() -> None:
    clips = torch.arange(16.0).view(1, 16, 1, 1, 1).expand(2, -1, 3, 4, 4) / 16
    strip = filmstrip(clips, 4)
    assert [float(frame[0, 0, 0, 0] * 16) for frame in strip.values()] == [0.0, 5.0, 10.0, 15.0]
    assert list(filmstrip(clips[:, :2], 4)) == ["frame 1", "frame 2"]


def test_heat_is_mixed_from_the_map_and_the_pictures_lightness() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures, maps = torch.rand(2, 3, 8, 8, generator=generator), torch.rand(2, 4, 4, generator=generator)
    scale = [(0.0, 0.0, 0.1), (0.4, 0.05, 0.45), (0.85, 0.25, 0.2), (1.0, 0.65, 0.1), (1.0, 1.0, 0.7)]
    shown = heat(pictures, maps)
    for item in range(2):
        for y in range(8):
            for x in range(8):
                level = float(maps[item, y // 2, x // 2] / maps[item].max()) * 4
                grey = float(pictures[item, :, y, x].mean())
                for channel in range(3):
                    color = np.interp(level, range(5), [row[channel] for row in scale])
                    assert float(shown[item, channel, y, x]) == pytest.approx(0.65 * color + 0.35 * grey, abs=1e-5)
    assert heat(pictures, torch.zeros(2, 4, 4)).isfinite().all()
    assert colored(page_of(Figure({"heat": shown}))).any()


@pytest.mark.parametrize("samples", [4000, 150])
def test_a_spectrogram_shows_a_tone_at_its_height_and_when_it_sounds(samples: int) -> None:
    rate = 1000
    time = torch.arange(samples) / rate
    waves = torch.zeros(3, 2, samples)
    waves[0] = (2 * math.pi * 125 * time).sin()  # a quarter of half the rate
    waves[1, 0, samples // 2 :] = (2 * math.pi * 250 * time[samples // 2 :]).sin()
    shown = spectrogram(waves)
    height, width = shown.shape[2:]
    assert shown.shape[:2] == (3, 1)
    assert max(height, width) <= TILE
    assert 0.0 <= shown.min() <= shown.max() <= 1.0
    middle = shown[0, 0, :, width // 2]
    assert 1.0 - int(middle.argmax()) / height == pytest.approx(0.25, abs=2 / height)
    assert 1.0 - int(shown[1, 0, :, 3 * width // 4].argmax()) / height == pytest.approx(0.5, abs=2 / height)
    loud = shown[1, 0].amax(dim=0)
    if samples == 4000:
        assert loud[: width // 4].max() == 0.0
    assert loud[3 * width // 4] > 0.9
    assert (shown[2] == 0.0).all(), "silence"


@pytest.mark.parametrize("config", [SimCLRConfig, CLIPConfig])
def test_figures_are_of_clean_test_items_with_what_they_are_told(
    config: type[MethodConfig], processor: Processor
) -> None:
    example = config.example()
    run = RunConfig(method=example.method, data=example.data, encoder=example.encoder)
    data = load_cached(run.data)
    batch = clean_batch(data.test, run.method.plan, data.test.rows[:5], processor, (0, "pictures"))
    assert len(batch.views) == len(run.method.views.views)
    for view in batch.views:
        assert torch.equal(view, data.test.tensor(data.test.rows[:5], "image").float() / 255.0)
    assert tuple(batch.targets) == run.method.targets
    for name, told in batch.targets.items():
        assert told == data.test.read(batch.index, name)
