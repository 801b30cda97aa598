"""Pages of pictures: what a view plan does to items, each row one of them, and what a method shows."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.platform.augment.figure import Figure, filmstrip, spectrogram
from unlabeled.platform.augment.op import as_float
from unlabeled.platform.augment.view import ViewPlan
from unlabeled.platform.draws import Draws

if TYPE_CHECKING:  # Pillow is loaded by the one function that draws
    from PIL.Image import Image

_TILE_PX = 112
_GAP_PX = 6
_LINE_PX = 18
_FONT_PX = 12
_LETTER_PX = 7


def draw_views(
    items: Mapping[str, Tensor],
    plan: ViewPlan,
    columns: int = 8,
    seed: int = 0,
    rates: Mapping[str, float] | None = None,
    make: Callable[[tuple[int | str, ...]], Sequence[Tensor]] | None = None,
) -> "Image":
    """Draw each item and ``columns`` augmented versions of it in a row, under a header that names the plan.

    Of a clip four frames are shown, of a sound its spectrogram.

    Args:
        items: what the plan's views are of, by ``View.item``: uint8 [N, C, H, W] or [N, T, C, H, W], C 1 or 3, or
            float32 [N, C, S].
        plan: the versions go through its views in turn, and then through them again with new draws.
        columns: how many versions, at least 1.
        seed: of the draws.
        rates: frames or samples a second of each field; needed where a view goes by another's time.
        make: makes the views by the scope of their draws, where the plan can't make them of the items alone.

    Returns:
        An RGB picture; small images are enlarged without smoothing, so that their pixels can be seen.
    """
    shown = dict.fromkeys(view.item for view in plan.views)
    originals = [("original" if item == "image" else f"original {item}", as_float(items[item])) for item in shown]
    _, first = originals[0]
    rows = torch.arange(len(first), device=first.device)
    views: list[tuple[str, Tensor]] = []
    for repeat in range(-(-columns // len(plan.views))):
        scope = (seed, "picture", repeat)
        made = plan(items, Draws(rows, *scope), rates) if make is None else make(scope)
        views += [(f"view {place}", view) for place, view in enumerate(made, start=1)]
    pages = [(title, as_pictures(each)) for title, each in (*originals, *views[:columns])]
    return draw_columns(pages, plan.summary)


def as_pictures(items: Tensor) -> Tensor:
    """Return pictures of any items, float [N, C, h, w] in [0, 1]: of clips film strips, of sounds spectrograms.

    Up to four frames of a clip, as far apart as they can be, are put together line by line.
    """
    if items.ndim == 5:
        frames = list(filmstrip(items, 4).values())
        frames += [torch.ones_like(frames[0])] * (len(frames) == 3)
        lines = [torch.cat(frames[start : start + 2], dim=3) for start in range(0, len(frames), 2)]
        return torch.cat(lines, dim=2)
    return spectrogram(items) if items.ndim == 3 else items


def draw_figure(figure: Figure, header: str) -> "Image":
    """Draw a figure under a header and its columns' titles.

    Raises:
        ValueError: it has no columns, or they are not pictures of equally many items.
    """
    shapes = {title: tuple(made.shape) for title, made in figure.columns.items()}
    if not shapes or any(len(shape) != 4 or shape[1] not in (1, 3) for shape in shapes.values()):
        raise ValueError(f"a figure's columns are pictures [B, 1 or 3, h, w], one or more; got {shapes}")
    if len({shape[0] for shape in shapes.values()}) > 1:
        raise ValueError(f"a figure's columns show equally many items; got {shapes}")
    columns = [(title, made.float().clamp(0.0, 1.0).cpu()) for title, made in figure.columns.items()]
    page = draw_columns(columns, header)
    if figure.lines is not None:
        _draw_lines(page, columns, figure.lines.float().cpu())
    return page


def _draw_lines(page: "Image", columns: Sequence[tuple[str, Tensor]], lines_BK4: Tensor) -> None:
    from PIL import ImageDraw

    sizes = [tuple(images.shape[2:]) for _, images in columns]
    pitch = max(_GAP_PX + round(_scale(*size) * max(size)) for size in sizes)
    top = page.height - len(lines_BK4) * pitch  # under the header; the last gap takes the first one's place
    pen = ImageDraw.Draw(page)
    for row, lines in enumerate(lines_BK4.tolist()):
        for number, line in enumerate(lines):
            if any(place != place for place in line):
                continue
            ends = []
            for column, (x, y) in enumerate((line[:2], line[2:])):
                scale = _scale(*sizes[column])
                ends.append((_GAP_PX + column * pitch + x * scale, top + row * pitch + y * scale))
            color = f"hsl({number * 137 % 360}, 90%, 50%)"  # by the golden angle: neighbours differ
            pen.line(ends, fill=color, width=1)
            for x, y in ends:
                pen.ellipse((x - 2, y - 2, x + 2, y + 2), outline=color)


def draw_columns(columns: Sequence[tuple[str, Tensor]], header: str) -> "Image":
    """Draw columns of images side by side, a row for each image, under a header and the columns' titles.

    Args:
        columns: title and float [N, C, H, W] in [0, 1], C 1 or 3; C, H and W may differ between columns.
        header: text above, which may be long.
    """
    from PIL import Image as PillowImage
    from PIL import ImageDraw, ImageFont

    grid = _grid([_tiles(images) for _, images in columns])
    pitch = (grid.shape[1] - _GAP_PX) // len(columns)
    lines = textwrap.wrap(header, width=max(20, grid.shape[1] // _LETTER_PX))
    titles = [textwrap.wrap(title, width=pitch // _LETTER_PX) for title, _ in columns]
    header_px = _LINE_PX * (len(lines) + max(map(len, titles)))
    page = PillowImage.new("RGB", (grid.shape[1], grid.shape[0] + header_px), "white")
    page.paste(PillowImage.fromarray(grid.numpy()), (0, header_px))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=_FONT_PX)
    for row, line in enumerate(lines):
        pen.text((_GAP_PX, row * _LINE_PX + 2), line, fill="black", font=font)
    for column, title in enumerate(titles):
        for row, line in enumerate(title, start=len(lines)):
            pen.text((_GAP_PX + column * pitch, row * _LINE_PX + 2), line, fill="dimgrey", font=font)
    return page


def _tiles(images: Tensor) -> Tensor:
    """Enlarge float [N, C, H, W] by a whole factor, or shrink what is too large, to uint8 [N, height, width, 3]."""
    scale = _scale(*images.shape[-2:])
    if scale >= 1.0:
        images = images.repeat_interleave(int(scale), dim=2).repeat_interleave(int(scale), dim=3)
    else:
        images = F.interpolate(images, scale_factor=scale, mode="bilinear", antialias=True)
    pixels = images.clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8)
    return pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu()


def _scale(height: int, width: int) -> float:
    """Return what a picture's sides are multiplied by on a page."""
    largest = max(height, width)
    return float(_TILE_PX // largest) if largest <= _TILE_PX else _TILE_PX / largest


def _grid(columns: list[Tensor]) -> Tensor:
    """Lay columns of tiles, each uint8 [N, h, w, 3], out on white: uint8 [height, width, 3]."""
    tile = max(max(column.shape[1:3]) for column in columns)
    pitch = tile + _GAP_PX
    page = torch.full((len(columns[0]) * pitch + _GAP_PX, len(columns) * pitch + _GAP_PX, 3), 255, dtype=torch.uint8)
    for x, column in enumerate(columns):
        for y, picture in enumerate(column):
            top, left = (place * pitch + _GAP_PX for place in (y, x))
            page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return page
