"""Matrices against pictures that show where each of their pixels came from; masks, boxes and points by loops."""

import math

import pytest
import torch
from torch import Tensor

from unlabeled.platform.augment import (
    SIMCLR,
    ColorDrop,
    ColorJitter,
    Crop,
    Cutout,
    Extent,
    Flip,
    GaussianBlur,
    GaussianNoise,
    Op,
    Policy,
    Rotate90,
)
from unlabeled.platform.augment.geometry import (
    first_to_second,
    inverse,
    mapped,
    move_boxes,
    move_masks,
    move_points,
    pixels_in_second,
)
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import UserError

B = 40
MOVING = (Crop, Flip, Rotate90)
POLICIES = {
    "crop": Policy(ops=(Crop(area=(0.05, 0.5)),)),
    "crop, seldom": Policy(ops=(Crop(area=(0.05, 0.5), p=0.5),)),
    "crop to a size": Policy(ops=(Crop(area=(0.1, 0.6), size=30, p=0.7),)),
    "flip": Policy(ops=(Flip(),)),
    "flip always": Policy(ops=(Flip(p=1.0),)),
    "turn": Policy(ops=(Crop(size=24, area=(1.0, 1.0), aspect=(1.0, 1.0)), Rotate90())),
    "turn always": Policy(ops=(Crop(size=24, area=(0.2, 0.9)), Rotate90(p=1.0))),
    "all": Policy(ops=(Flip(), Crop(size=28, area=(0.3, 1.0), p=0.8), Rotate90(), Flip(), Crop(size=40), Flip(p=0.9))),
    "none": Policy(),
}


def draws(batch: int = B) -> Draws:
    return Draws(torch.arange(batch), 3, "geometry")


def where(batch: int, height: int, width: int) -> Tensor:
    """Return pictures that are at each pixel what its centre's x and y are: [B, 2, H, W], in pixels."""
    y, x = (torch.arange(side) + 0.5 for side in (height, width))
    return torch.stack(torch.meshgrid(x, y, indexing="xy")).float().expand(batch, -1, -1, -1)


def centres(height: int, width: int) -> Tensor:
    return where(1, height, width)[0].permute(1, 2, 0)


@pytest.mark.parametrize(("height", "width"), [(24, 24), (20, 33)])
@pytest.mark.parametrize("name", POLICIES)
def test_the_matrix_says_where_each_pixel_went(name: str, height: int, width: int) -> None:
    policy = POLICIES[name]
    drawn = policy.draw(Extent(2, (height, width)), draws())
    view = policy.change(where(B, height, width), drawn)
    new_height, new_width = drawn.extent.size
    assert view.shape[2:] == (new_height, new_width)
    assert drawn.matrix().shape == (B, 3, 3)
    expected = mapped(centres(new_height, new_width).expand(B, -1, -1, -1), inverse(drawn.matrix())).permute(0, 3, 1, 2)
    error = (view - expected).abs()
    scale = drawn.matrix()[:, :2, :2].abs().amax(dim=(1, 2))  # of the last crop and all before
    border = (2.0 * scale.clamp(min=1.0)).ceil().long()  # there the interpolation has no neighbours
    enlarged = 0
    for row in range(B):
        edge = int(border[row])
        inside = error[row, :, edge : new_height - edge, edge : new_width - edge]
        if not inside.numel():
            continue
        sides = drawn.matrix()[row, :2, :2].abs().sum(dim=0)
        exact = bool((sides >= 1.0).all()) and name != "all"  # a smaller picture averages, not quite evenly
        assert float(inside.max()) < (1e-4 if exact else 0.3), (row, drawn.matrix()[row])
        enlarged += exact
    assert enlarged > 5 or name == "all"


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_bright_pixel_is_found_where_the_matrix_says(turns: int) -> None:
    side = 9
    spots = torch.tensor([[0, 0], [8, 0], [2, 5], [7, 8]])  # x, y
    images = torch.zeros(4, 1, side, side)
    images[torch.arange(4), 0, spots[:, 1], spots[:, 0]] = 1.0
    op, turned = Rotate90(), torch.full((4,), turns)
    matrices = {
        "turned": (op.apply(images, turned), op.matrix(Extent(1, (side, side)), images.device, turned)),
        "flipped": (Flip().apply(images), Flip().matrix(Extent(1, (side, side)), images.device).expand(4, 3, 3)),
    }
    for made, matrix in matrices.values():
        places = mapped(spots[:, None] + 0.5, matrix)[:, 0]
        for row, (x, y) in enumerate(places.tolist()):
            assert made[row, 0, math.floor(y), math.floor(x)] == 1.0
            assert x % 1 == y % 1 == 0.5


@pytest.mark.parametrize("kind", Op.family.values())
def test_an_operation_moves_pixels_or_has_no_matrix(kind: type[Op]) -> None:
    op, extent = kind(), Extent(3, (16, 16))
    matrix = op.matrix(extent, torch.device("cpu"), *op.parameters(extent, draws()))
    assert (matrix is not None) == op.moves == (kind in MOVING)
    assert op.output(extent) == extent
    if matrix is not None:
        assert matrix.dtype == torch.float64
        assert matrix.shape[0] in (1, B)


def test_what_moves_nothing_changes_no_matrix_and_may_be_left_undrawn() -> None:
    geometric, extent = Policy(ops=(Crop(), Flip())), Extent(3, (16, 20))
    mixed = Policy(ops=(ColorJitter(), Crop(), GaussianNoise(), GaussianBlur(), Flip(), Cutout(), ColorDrop()))
    expected = geometric.draw(extent, draws())
    for only in (False, True):
        drawn = mixed.draw(extent, draws(), geometry_only=only)
        assert torch.equal(drawn.matrix(), expected.matrix())
        assert drawn.extent == expected.extent
        assert [step is None for step in drawn.steps] == [only and type(op) not in MOVING for op in mixed.ops]


def test_a_view_is_what_is_drawn_and_then_made() -> None:
    images = torch.rand(B, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(SIMCLR(images, draws()), SIMCLR.change(images, SIMCLR.draw(Extent(3, (16, 16)), draws())))


def test_pictures_of_differing_size_draw_as_each_would_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    height, width = (torch.randint(10, 90, (B,), generator=generator) for _ in range(2))
    each = Extent(3, (height, width))
    for policy in (POLICIES["crop to a size"], Policy(ops=(Flip(), Crop(size=20, p=0.8), Flip(), Rotate90()))):
        together = policy.draw(each, draws())
        for row in range(B):
            alone = policy.draw(
                Extent(3, (int(height[row]), int(width[row]))), Draws(torch.tensor([row]), 3, "geometry")
            )
            torch.testing.assert_close(together.matrix()[row], alone.matrix()[0], rtol=0, atol=1e-9)
    (box,) = Cutout().parameters(each, draws())
    (alone,) = Cutout().parameters(Extent(3, (int(height[5]), int(width[5]))), draws())
    assert torch.equal(box[5], alone[5])
    with pytest.raises(UserError, match="GaussianNoise needs pictures of one size; crop them to one first"):
        GaussianNoise().parameters(each, draws())
    with pytest.raises(UserError, match="Rotate90 needs square images of one size; crop them first"):
        Policy(ops=(Rotate90(),)).draw(each, draws())


def test_there_and_back() -> None:
    matrix = POLICIES["all"].draw(Extent(3, (20, 33)), draws()).matrix()
    whole = torch.eye(3, dtype=torch.float64).expand(B, 3, 3)
    torch.testing.assert_close(inverse(matrix) @ matrix, whole, rtol=0, atol=1e-9)
    torch.testing.assert_close(inverse(matrix), torch.linalg.inv(matrix), rtol=0, atol=1e-9)
    torch.testing.assert_close(first_to_second(matrix, matrix), whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["all", "crop to a size"])
def test_a_pixel_of_one_view_is_found_in_the_other(name: str) -> None:
    """Views of pictures that are where they are: what the first has at a pixel, the second has at the place found."""
    extent, images = Extent(2, (24, 24)), where(B, 24, 24)
    policies = (POLICIES[name], Policy(ops=(Flip(), Crop(size=48, area=(0.4, 1.0)))))
    drawn = [policy.draw(extent, draws().fold_in(n)) for n, policy in enumerate(policies)]
    first, second = (policy.change(images, each) for policy, each in zip(policies, drawn, strict=True))
    to_first, to_second = (each.matrix().float() for each in drawn)
    size = first.shape[-2:]
    places, seen = pixels_in_second(to_first, to_second, tuple(size), (48, 48))
    assert places.shape == (B, *size, 2)
    assert 0.05 < seen.float().mean() < 0.99
    found = 0
    for row in range(B):
        for i in range(4, size[0] - 4, 5):
            for j in range(4, size[1] - 4, 5):
                x, y = places[row, i, j].tolist()
                assert bool(seen[row, i, j]) == (0 <= x < 48 and 0 <= y < 48)
                if 4 < x < 44 and 4 < y < 44:
                    there = second[row, :, math.floor(y), math.floor(x)]
                    assert (first[row, :, i, j] - there).abs().max() < 1.5, "within a pixel of the item"
                    found += 1
    assert found > 50


def test_masks_take_the_nearest_pixel() -> None:
    generator = torch.Generator().manual_seed(2)
    masks = torch.randint(0, 5, (B, 20, 33), generator=generator, dtype=torch.uint8)
    op, extent = Crop(size=29), Extent(3, (20, 33))
    (box,) = op.parameters(extent, draws())
    made = move_masks(masks, op.matrix(extent, masks.device, box), 29, 29)
    assert made.dtype == torch.uint8
    for row, (top, left, height, width) in enumerate(box.tolist()):
        for i in range(29):
            for j in range(29):
                y, x = top + (i + 0.5) * height / 29 + 1e-3, left + (j + 0.5) * width / 29 + 1e-3
                assert made[row, i, j] == masks[row, math.floor(y), math.floor(x)]
    rounded = move_masks(masks, op.matrix(extent, masks.device, box).float(), 29, 29)
    assert torch.equal(rounded, made), "on an edge too"
    flips = Policy(ops=(Flip(),)).draw(extent, draws())
    flipped = Policy(ops=(Flip(),)).change(masks[:, None].float(), flips)[:, 0].byte()
    assert torch.equal(move_masks(masks, flips.matrix(), 20, 33), flipped)
    films = torch.stack((masks, masks.flip(1)), dim=1)
    both = move_masks(films, flips.matrix(), 20, 33)
    assert torch.equal(both[:, 0], flipped)
    assert torch.equal(both[:, 1], move_masks(masks.flip(1), flips.matrix(), 20, 33))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_masks_turn_as_pictures_do(turns: int) -> None:
    masks = torch.arange(49, dtype=torch.uint8).view(1, 7, 7)
    matrix = Rotate90().matrix(Extent(1, (7, 7)), masks.device, torch.tensor([turns]))
    assert torch.equal(move_masks(masks, matrix, 7, 7), masks.rot90(turns, dims=(1, 2)))


def test_a_mask_outside_of_the_picture_is_not_told() -> None:
    shifted = torch.eye(3, dtype=torch.float64)[None].clone()
    shifted[0, 0, 2] = 2.0
    made = move_masks(torch.ones(1, 3, 4, dtype=torch.uint8), shifted, 3, 4)
    assert made[0].tolist() == [[255, 255, 1, 1]] * 3


@pytest.mark.parametrize("frames", [None, 3])
def test_boxes_and_points_move_with_the_picture(frames: int | None) -> None:
    generator = torch.Generator().manual_seed(4)
    height, width, count = 20, 33, 4
    drawn = POLICIES["all"].draw(Extent(3, (height, width)), draws())
    shape = (B, count) if frames is None else (B, frames, count)
    corner = torch.rand(*shape, 2, generator=generator) * torch.tensor([width, height]) * 0.8
    size = torch.rand(*shape, 2, generator=generator) * 6 + 0.5
    number = torch.randint(0, 9, (*shape, 1), generator=generator)
    boxes = torch.cat((corner, corner + size, number), dim=-1)
    boxes[..., -1, :] = torch.nan  # fewer than there is room for
    points = torch.rand(*shape, 2, generator=generator) * torch.tensor([width, height])
    points[0, ..., 0, :] = torch.nan
    new_height, new_width = drawn.extent.size
    assert isinstance(new_height, int)
    assert isinstance(new_width, int)
    moved = move_boxes(boxes, drawn.matrix(), new_height, new_width)
    seen = move_points(points, drawn.matrix(), new_height, new_width)
    assert moved.shape == boxes.shape
    assert moved.dtype == seen.dtype == torch.float32
    kept = lost = 0
    for place in torch.cartesian_prod(*(torch.arange(side) for side in shape)).tolist():
        matrix, at = drawn.matrix()[place[0]].tolist(), tuple(place)
        left, top, right, bottom, number_ = boxes[at].tolist()
        corners = [through(matrix, x, y) for x in (left, right) for y in (top, bottom)]
        (xs, ys) = zip(*corners, strict=True)
        edges = [
            min(max(min(xs), 0.0), new_width),
            min(max(min(ys), 0.0), new_height),
            min(max(max(xs), 0.0), new_width),
            min(max(max(ys), 0.0), new_height),
        ]
        if edges[2] > edges[0] and edges[3] > edges[1]:  # not so of NaN
            torch.testing.assert_close(moved[at], torch.tensor([*edges, number_]), rtol=0, atol=1e-4)
            kept += 1
        else:
            assert moved[at].isnan().all()
            lost += 1
        x, y = through(matrix, *points[at].tolist())
        if 0 <= x < new_width and 0 <= y < new_height:
            torch.testing.assert_close(seen[at], torch.tensor([x, y]), rtol=0, atol=1e-4)
        else:
            assert seen[at].isnan().all()
    assert kept > B / 2
    assert lost > B


def through(matrix: list[list[float]], x: float, y: float) -> tuple[float, float]:
    return matrix[0][0] * x + matrix[0][1] * y + matrix[0][2], matrix[1][0] * x + matrix[1][1] * y + matrix[1][2]


# ---- clips -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [None, 0.6])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", Op.family.values())
def test_a_clip_is_augmented_frame_by_frame_with_the_same_numbers(
    kind: type[Op], channels: int, p: float | None
) -> None:
    op = kind() if p is None else kind(p=p)
    clips = torch.rand(9, 4, channels, 16, 16, generator=torch.Generator().manual_seed(6))
    before = clips.clone()
    made = op(clips, draws(9))
    frames = torch.stack([op(clips[:, frame], draws(9)) for frame in range(4)], dim=1)
    assert torch.equal(made, frames)
    assert torch.equal(clips, before)
    assert torch.equal(op(clips.clone(), draws(9), overwrite=True), made)


def test_a_policy_takes_clips_at_any_size() -> None:
    policy = Policy(ops=(Crop(size=20, p=0.7), Flip(), ColorJitter(), GaussianBlur()))
    clips = torch.rand(6, 5, 3, 12, 17, generator=torch.Generator().manual_seed(7))
    made = policy(clips, draws(6))
    assert made.shape == (6, 5, 3, 20, 20)
    assert torch.equal(made, torch.stack([policy(clips[:, frame], draws(6)) for frame in range(5)], dim=1))
