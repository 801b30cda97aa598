"""The page of a data set: each field is drawn where it is, whatever there is of it."""

import numpy as np
import torch
from torch import Tensor

from unlabeled.platform.data import ArrayImages, Classes, Field, Joined, Source, Texts
from unlabeled.platform.data.page import draw_items
from unlabeled.platform.data.panels import (
    class_colour,
    colour_of,
    draw_boxes,
    draw_points,
    font_of,
    scale_of,
    sound,
    strip,
    tile,
    with_mask,
)

MASK = Field(kind="mask", shape=(4, 4), classes=("ground", "a", "b"), of="image")
BOXES = Field(kind="boxes", shape=(2, 5), classes=("a", "b"), of="image")


class Given(Source):
    """One field that is handed in, as a source that somebody brings."""

    def __init__(self, name: str, field: Field, values: Tensor, known: Tensor) -> None:
        self.fields, self._values, self._known = {name: field}, values, known

    def __len__(self) -> int:
        return len(self._values)

    def known(self, field: str) -> Tensor:
        return self._known.clone()

    def read(self, index: Tensor, field: str) -> Tensor:
        return self._values[index]

    def take(self, rows: Tensor) -> "Given":
        ((name, field),) = self.fields.items()
        return Given(name, field, self._values[rows], self._known[rows])


def everything() -> Joined:
    some, all_ = torch.tensor([True, False, True]), torch.ones(3, dtype=torch.bool)
    boxes = torch.full((3, 2, 5), torch.nan)
    boxes[:, 0] = torch.tensor([1.0, 1.0, 3.0, 4.0, 1.0])
    clip = torch.zeros(3, 2, 1, 6, 5, dtype=torch.uint8)
    points = torch.tensor([[1.5, 2.5], [torch.nan, torch.nan]]).repeat(3, 2, 1, 1)
    return Joined(
        ArrayImages(np.zeros((3, 3, 4, 4), np.uint8)),
        Given("mask", MASK, torch.tensor([0, 1, 2, 255], dtype=torch.uint8).repeat(3, 4, 1), some),
        Given("boxes", BOXES, boxes, all_),
        Given("clip", Field(kind="clip", shape=(2, 1, 6, 5), rate=4.0), clip, all_),
        Given("points", Field(kind="points", shape=(2, 2, 2), of="clip"), points, all_),
        Given("wave", Field(kind="wave", shape=(2, 100), rate=1_000.0), torch.zeros(3, 2, 100), some),
        Given("pose", Field(kind="pose", shape=(2,)), torch.tensor([[0.5, -1.0]]).repeat(3, 1), all_),
        Given("turn", Field(kind="pose"), torch.tensor([1.0, 2.0, 3.0]), some),
        Classes([0, 1, 1], ("a", "b"), known=[True, True, False]),
        Texts(["one", "two " * 100, "Réunion"]),
    )


def test_items_with_any_fields_some_of_them_lacking_are_drawn() -> None:
    page = draw_items(everything(), torch.tensor([2, 0, 1]), "a header " * 60)
    assert page.mode == "RGB"
    assert 500 < page.width <= 1_600
    assert page.height > 400
    alone = draw_items(everything(), torch.tensor([1]), "short")
    assert alone.height < page.height
    assert draw_items(Texts(["nothing to see"]), torch.tensor([0]), "texts").height > 20


def test_a_boxs_edges_lie_on_the_outermost_pixels_that_belong_to_it() -> None:
    picture = tile(torch.zeros(1, 16, 16, dtype=torch.uint8), "image")
    by = scale_of(16, 16, "image")
    assert by == 16
    boxes = torch.tensor([[3.0, 5.0, 9.0, 14.0, 1.0], [torch.nan] * 5])
    draw_boxes(picture, boxes, BOXES, by, named=False)
    drawn = np.asarray(picture).any(axis=2)
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (3 * 16, 5 * 16, 9 * 16, 14 * 16)
    assert tuple(np.asarray(picture)[rows[0], columns[0]]) == colour_of(1)
    assert not drawn[rows[0] + 4 : rows[-1] - 4, columns[0] + 4 : columns[-1] - 4].any()


def test_a_point_lies_in_the_middle_of_its_pixel() -> None:
    picture = tile(torch.zeros(1, 16, 16, dtype=torch.uint8), "image")
    draw_points(picture, torch.tensor([[torch.nan, torch.nan], [4.5, 7.5]]), 16)
    y, x = np.nonzero((np.asarray(picture) == colour_of(1)).all(axis=2))
    assert (x.mean(), y.mean()) == (4.5 * 16, 7.5 * 16)


def test_a_mask_shows_classes_in_the_colours_of_boxes_and_white_where_nothing_is_told() -> None:
    shown = with_mask(torch.zeros(3, 1, 4, dtype=torch.uint8), torch.tensor([[0, 1, 2, 255]], dtype=torch.uint8), MASK)
    for place, number in enumerate((0, 1, 2)):
        assert shown[:, 0, place].tolist() == [2 * part // 3 for part in class_colour(MASK, number)]
    assert shown[:, 0, 3].tolist() == [170, 170, 170]
    assert class_colour(MASK, 2) == class_colour(BOXES, 1)
    assert len({colour_of(number) for number in range(60)}) == 60


def test_a_sound_is_drawn_with_its_pitch_where_it_is() -> None:
    time = torch.arange(8_000) / 8_000
    low, high = (np.asarray(sound(torch.sin(2 * torch.pi * hertz * time)[None])) for hertz in (500, 3_500))
    for picture, row in ((low, 7 / 8), (high, 1 / 8)):
        spectrum = picture[:, 520:].astype(int).sum(axis=(1, 2))
        assert abs(spectrum.argmax() / len(spectrum) - row) < 0.06
    quiet = np.asarray(sound(torch.zeros(1, 50)))
    assert quiet.shape == low.shape


def test_large_pictures_are_shrunk_and_strips_are_as_wide_as_their_parts() -> None:
    large = tile(torch.zeros(3, 600, 300, dtype=torch.uint8), "image")
    assert large.size == (128, 256)
    small = tile(torch.zeros(1, 48, 48, dtype=torch.uint8), "clip")
    assert small.size == (96, 96)
    assert strip([small, large]).size == (96 + 2 + 128, 256)


def test_words_in_greek_and_cyrillic_are_letters_not_boxes() -> None:
    font = font_of(12)
    drawn = [bytes(font.getmask(letter)) for letter in ("Н", "γ", "\U0010ffff")]  # the last is in no font
    assert len(set(drawn)) == 3
