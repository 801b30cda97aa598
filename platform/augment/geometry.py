"""Where pixels go: what a view's matrix does to points, boxes and masks, and where a pixel of one view is in another.

Points are continuous, in pixels: pixel (0, 0) covers [0, 1) x [0, 1), and its centre is at (0.5, 0.5). A matrix
[B, 3, 3] takes a column (x, y, 1) of the item to one of the view; it is affine, and so its last row is (0, 0, 1).

Shape suffixes: B batch, T frames (of what lies in a clip, else it is not there), K boxes or points, H height, W width.
"""

import torch
from torch import Tensor

from unlabeled.platform.augment.devices import constant
from unlabeled.platform.data.source import IGNORED

_ROUNDING = 1e-3  # of a pixel: a float32 matrix of a thousand pixels is as exact


def identity(batch: int, device: torch.device) -> Tensor:
    """Return matrices that leave points where they are, float64 [B, 3, 3]."""
    return torch.eye(3, dtype=torch.float64, device=device).expand(batch, 3, 3)


def affine(linear_B22: Tensor, shift_B2: Tensor) -> Tensor:
    """Return the matrices of a linear map and a shift after it: float64 [B, 3, 3]."""
    matrix = identity(len(shift_B2), shift_B2.device).contiguous()
    matrix[:, :2, :2] = linear_B22
    matrix[:, :2, 2] = shift_B2
    return matrix


def scaling(scale_B2: Tensor, shift_B2: Tensor) -> Tensor:
    """Return the matrices that multiply x and y by two factors and shift then: float64 [B, 3, 3]."""
    matrix = torch.zeros(len(shift_B2), 9, dtype=torch.float64, device=shift_B2.device)
    matrix[:, 0:5:4] = scale_B2
    matrix[:, 2:6:3] = shift_B2
    matrix[:, 8] = 1.0
    return matrix.view(-1, 3, 3)


def framing(box_B4: Tensor, size_B2: Tensor) -> Tensor:
    """Return the matrices that bring a box's corner to (0, 0) and its sides to a size: float64 [B, 3, 3].

    Args:
        box_B4: top, left, height, width.
        size_B2: height and width, [B, 2] or [1, 2] for all alike.
    """
    top_left_B2, sides_B2 = torch.split(box_B4, 2, dim=1)
    scale_B2 = size_B2 / sides_B2.double()
    return scaling(scale_B2.flip(1), -(top_left_B2 * scale_B2).flip(1))


def inverse(matrix: Tensor) -> Tensor:
    """Return the matrices of the way back, float64 [B, 3, 3]. In closed form: a GPU need not be waited for."""
    (a, b, x), (c, d, y), _ = (row.unbind(-1) for row in matrix.double().unbind(-2))
    determinant = a * d - b * c
    rows = ((d, -b, b * y - d * x), (-c, a, c * x - a * y))
    found = torch.stack([torch.stack(row, dim=-1) / determinant[..., None] for row in rows], dim=-2)
    last = constant((0.0, 0.0, 1.0), matrix.device, torch.float64)
    return torch.cat((found, last.expand_as(found[..., :1, :])), dim=-2)


def first_to_second(to_first: Tensor, to_second: Tensor) -> Tensor:
    """Return the matrices that take a point of one view to the other: float64 [B, 3, 3].

    Args:
        to_first: [B, 3, 3], from the item to a view of it; an entry of ``Batch.to_view``.
        to_second: [B, 3, 3], from the same item to another view.
    """
    return to_second.double() @ inverse(to_first)


def mapped(points: Tensor, matrix: Tensor) -> Tensor:
    """Take points [B, \\*, 2] through matrices [B, 3, 3]: float64 [B, \\*, 2]. NaN stays NaN."""
    flat = points.double().flatten(1, -2)
    moved = flat @ matrix[:, :2, :2].double().mT + matrix[:, None, :2, 2].double()
    return moved.view(points.shape)


def pixels_in_second(
    to_first: Tensor, to_second: Tensor, first_hw: tuple[int, int], second_hw: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Find where the centre of each pixel of one view is in another view of the same item.

    Args:
        to_first: [B, 3, 3], an entry of ``Batch.to_view``.
        to_second: [B, 3, 3], another.
        first_hw: height and width of the first view, in pixels.
        second_hw: of the second.

    Returns:
        float32 [B, H, W, 2], x and y in the second view for each pixel of the first; and bool [B, H, W], whether the
        second view shows that place.
    """
    centres = _centres(*first_hw, to_first.device).expand(len(to_first), -1, -1, -1)
    places = mapped(centres, first_to_second(to_first, to_second))
    return places.float(), _inside(places, *second_hw)


def move_points(points: Tensor, matrix: Tensor, height: int, width: int) -> Tensor:
    """Take points into a view: float32 [B, (T,) K, 2]; NaN where a point was not seen, or is outside of the view."""
    moved = mapped(points, matrix)
    return torch.where(_inside(moved, height, width)[..., None], moved, torch.nan).float()


def move_boxes(boxes: Tensor, matrix: Tensor, height: int, width: int) -> Tensor:
    """Take boxes into a view and cut off what sticks out.

    Args:
        boxes: float32 [B, (T,) K, 5], left, top, right, bottom in pixels and the class's number; NaN rows are none.
        matrix: [B, 3, 3], to the view; after a turn by other than quarters a box is that around the turned one.
        height: of the view, in pixels.
        width: of the view, in pixels.

    Returns:
        float32, likewise; a row of NaN where there was none, or nothing of it is left.
    """
    left, top, right, bottom, number = boxes.unbind(-1)
    corners = torch.stack([torch.stack(corner, dim=-1) for x in (left, right) for corner in ((x, top), (x, bottom))])
    x, y = torch.stack([mapped(corner, matrix) for corner in corners]).unbind(-1)
    low_x, high_x = (edge.clamp(0.0, width) for edge in (x.amin(dim=0), x.amax(dim=0)))
    low_y, high_y = (edge.clamp(0.0, height) for edge in (y.amin(dim=0), y.amax(dim=0)))
    moved = torch.stack((low_x, low_y, high_x, high_y, number.double()), dim=-1)
    is_left = (high_x > low_x) & (high_y > low_y)  # of NaN neither holds
    return torch.where(is_left[..., None], moved, torch.nan).float()


def move_masks(masks: Tensor, matrix: Tensor, height: int, width: int) -> Tensor:
    """Take masks into a view: each of its pixels has the number of the pixel that its centre comes from.

    Where it comes from the edge between two, it is the later one's, however the matrix is rounded.

    Args:
        masks: uint8 [B, (T,) H, W]; numbers of classes, 255 is not told.
        matrix: [B, 3, 3], to the view.
        height: of the view, in pixels.
        width: of the view, in pixels.

    Returns:
        uint8 [B, (T,) height, width]; 255 where the view shows what is outside of the picture.
    """
    high, wide = masks.shape[-2:]
    places = mapped(_centres(height, width, masks.device).expand(len(masks), -1, -1, -1), inverse(matrix)) + _ROUNDING
    inside = _inside(places, high, wide)
    column, row = places.floor().long().unbind(-1)
    flat = (row.clamp(0, high - 1) * wide + column.clamp(0, wide - 1)).flatten(1)  # [B, height * width]
    layers = masks.reshape(len(masks), -1, high * wide)  # [B, T or 1, H * W]
    taken = layers.gather(2, flat[:, None].expand(-1, layers.shape[1], -1))
    taken = taken.masked_fill(~inside.flatten(1)[:, None], IGNORED)
    return taken.view(*masks.shape[:-2], height, width)


def _centres(height: int, width: int, device: torch.device) -> Tensor:
    """Return the centre of each pixel, float64 [H, W, 2] of x and y."""
    y, x = (torch.arange(side, dtype=torch.float64, device=device) + 0.5 for side in (height, width))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def _inside(points: Tensor, height: int, width: int) -> Tensor:
    """Tell which points [..., 2] lie in a picture; NaN do not."""
    x, y = points.unbind(-1)
    return (x >= 0.0) & (x < width) & (y >= 0.0) & (y < height)
