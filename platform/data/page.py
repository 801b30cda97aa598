"""A page of items with all that they hold: pictures, what lies in them, film strips, sounds, classes and captions."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from unlabeled.platform.data import panels
from unlabeled.platform.data.panels import Colour
from unlabeled.platform.data.source import Field, Source

if TYPE_CHECKING:  # Pillow is loaded by what draws
    from PIL.Image import Image

    Band = tuple[list["Line"], Image]  # a title and what is below it

Values = Mapping[str, Tensor | str]  # of one item, by field: what it has
Line = tuple[str, Colour | None]  # with a square of that colour before it

_WIDTH = 1600  # of the page at most, unless one item is wider
_GAP, _LINE = 12, 17
_LETTER = 7  # pixels that a letter takes at most, more or less
_NARROWEST = 224  # that an item's block may be: captions need room


def draw_items(source: Source, index: Tensor, header: str) -> "Image":
    """Draw items of a source, whatever fields it has.

    Args:
        source: where they are from.
        index: int64 [B], which, at least one.
        header: the line above.

    Returns:
        An RGB picture. Small pictures are enlarged without smoothing, so that their pixels can be seen.
    """
    items = _read(source, index)
    blocks = [_block(source.fields, values, int(number)) for number, values in zip(index, items, strict=True)]
    width = max(block.width for block in blocks)
    columns = max(1, min(len(blocks), (_WIDTH - _GAP) // (width + _GAP)))
    across = columns * (width + _GAP) + _GAP
    lines = textwrap.wrap(header, width=max(20, (across - 2 * _GAP) // _LETTER))
    return _laid_out(blocks, columns, lines, across, width)


def _laid_out(blocks: "list[Image]", columns: int, lines: list[str], across: int, width: int) -> "Image":
    from PIL import Image

    rows = [blocks[start : start + columns] for start in range(0, len(blocks), columns)]
    top = len(lines) * _LINE + _GAP
    page = Image.new("RGB", (across, top + sum(max(b.height for b in row) + _GAP for row in rows)), "white")
    page.paste(_written([(line, None) for line in lines], across - 2 * _GAP), (_GAP, _GAP // 2))
    for row in rows:
        for column, block in enumerate(row):
            page.paste(block, (_GAP + column * (width + _GAP), top))
        top += max(block.height for block in row) + _GAP
    return page


def _read(source: Source, index: Tensor) -> Sequence[Values]:
    """Read each field of the items that have it."""
    items: list[dict[str, Tensor | str]] = [{} for _ in index]
    for name in source.fields:
        known = source.known(name)[index]
        (places,) = known.nonzero(as_tuple=True)
        if len(places):
            values = source.read(index[places], name)
            for row, place in enumerate(places.tolist()):
                items[place][name] = values[row]
    return items


def _block(fields: Mapping[str, Field], values: Values, number: int) -> "Image":
    """Draw one item: what is told in words, and a band for each thing to be seen or heard."""
    from PIL import Image

    bands = [(title, band) for name in fields if name in values for title, band in _bands(fields, values, name)]
    width = max([_NARROWEST, *(band.width for _, band in bands)])
    parts = [_written(_words(fields, values, number), width)]
    for title, band in bands:
        parts += [_written([*title], width), band]
    block = Image.new("RGB", (width, sum(part.height for part in parts)), "white")
    top = 0
    for part in parts:
        block.paste(part, (0, top))
        top += part.height
    return block


def _words(fields: Mapping[str, Field], values: Values, number: int) -> list[Line]:
    """Say what an item's words and numbers are, and what is not told of it."""
    lines: list[Line] = [(f"item {number}", None)]
    for name, field in fields.items():
        value = values.get(name)
        if value is None:
            lines.append((f"{name}: not told", None))
        elif isinstance(value, str):
            lines.append((f"{name}: {value}", None))
        elif field.kind == "class":
            lines.append((f"{name}: {field.classes[int(value)]}", None))
        elif field.kind == "pose":
            lines.append((f"{name}: {_numbers(value)}", None))
    return lines


def _numbers(pose: Tensor) -> str:
    if pose.ndim == 0:
        return f"{float(pose):.3g}"
    rows = [" ".join(f"{number:.3g}" for number in row) for row in pose.reshape(len(pose), -1).tolist()]
    return f"({', '.join(rows)})"


def _bands(fields: Mapping[str, Field], values: Values, name: str) -> "Iterator[Band]":
    """Yield what is drawn of a field that is seen or heard, each with its title; nothing for others."""
    field, value = fields[name], values[name]
    if not isinstance(value, Tensor) or field.kind not in ("image", "clip", "wave"):
        return
    if field.kind == "wave":
        assert field.rate
        yield (
            [(f"{name}: {value.shape[-1] / field.rate:.3g} s, 0 to {field.rate / 2000:g} kHz", None)],
            panels.sound(value),
        )
        return
    frames = value if field.kind == "clip" else value[None]
    within = {other: inner for other, inner in fields.items() if inner.of == name and other in values}
    drawn: list[Band] = [([(name, None)], panels.strip([panels.tile(frame, field.kind) for frame in frames]))]
    for other, inner in within.items():
        drawn.append((_title(other, inner, values), _overlaid(field, frames, inner, values[other])))
    if field.kind == "clip":
        yield from drawn
    else:  # pictures beside each other, below all their titles
        yield [line for title, _ in drawn for line in title], panels.strip([picture for _, picture in drawn])


def _overlaid(field: Field, frames: Tensor, inner: Field, value: Tensor | str) -> "Image":
    """Draw a mask, boxes or points of each frame over it."""
    assert isinstance(value, Tensor)
    by = panels.scale_of(frames.shape[-2], frames.shape[-1], field.kind)
    tiles = []
    for frame, told in zip(frames, value if field.kind == "clip" else value[None], strict=True):
        if inner.kind == "mask":
            tiles.append(panels.tile(panels.with_mask(frame, told, inner), field.kind))
            continue
        picture = panels.tile(frame, field.kind)
        if inner.kind == "boxes":
            panels.draw_boxes(picture, told, inner, by, named=field.kind == "image")
        elif inner.kind == "points":
            panels.draw_points(picture, told, by)
        tiles.append(picture)
    return panels.strip(tiles)


def _title(name: str, field: Field, values: Values) -> list[Line]:
    """Name a field, and in their colours the classes that are there."""
    value = values[name]
    if not field.classes or not isinstance(value, Tensor):
        return [(name, None)]
    numbers = value if field.kind == "mask" else value[..., 4][~value[..., 4].isnan()]
    there = [number for number in sorted(set(numbers.long().flatten().tolist())) if number < len(field.classes)]
    return [(name, None), *((field.classes[number], panels.class_colour(field, number)) for number in there)]


def _written(lines: list[Line], width: int) -> "Image":
    """Write lines below each other, wrapped; what has a colour goes on in the line before, after a square of it."""
    from PIL import Image, ImageDraw

    font = panels.font_of(panels.FONT_PX)
    page = Image.new(
        "RGB", (width, _LINE * (sum(len(line) for line, _ in lines) * _LETTER // width + len(lines) + 1)), "white"
    )
    pen, y, x = ImageDraw.Draw(page), -_LINE, 0
    for text, colour in lines:
        if colour is None:
            for part in textwrap.wrap(text, width=max(10, width // _LETTER)):
                x, y = int(pen.textlength(part, font=font)), y + _LINE
                pen.text((0, y), part, fill="black", font=font)
            continue
        length = int(pen.textlength(text, font=font))
        if x + length + 28 > width:
            x, y = 0, y + _LINE
        pen.rectangle((x + 10, y + 4, x + 18, y + 12), fill=colour)
        pen.text((x + 22, y), text, fill="black", font=font)
        x += length + 22
    return page.crop((0, 0, width, y + _LINE))
