"""What every operation on pictures owes those who make views by it."""

from collections.abc import Sequence
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from unlabeled.platform.augment import Extent, Op, Policy
from unlabeled.platform.draws import Draws
from unlabeled.platform.testing.no_waits import no_waits

COUNT, SIDE = 40, 12
MANY = 2_000  # samples, of which a share fires


class OpSuite:
    """Tests of operations on pictures; derive a class whose name begins with Test, and set ``ops``.

    Attributes:
        ops: each takes pictures of 12 x 12 px, grey or in colour.
    """

    ops: ClassVar[Sequence[Op]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test on each operation."""
        if "op" in metafunc.fixturenames:
            metafunc.parametrize("op", self.ops, ids=[op.summary for op in self.ops])

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("p", [0.5, 1.0])
    def test_the_result_is_in_range_and_the_given_pictures_stay(self, op: Op, p: float, channels: int) -> None:
        op, pictures = op.with_field("p", p), some_pictures(COUNT, channels)
        before = pictures.clone()
        result = op(pictures, some_draws(COUNT))
        assert result.shape == (COUNT, channels, *sides(op))
        assert result.dtype == torch.float32
        assert result.is_contiguous()
        assert -1e-6 <= float(result.min()) <= float(result.max()) <= 1 + 1e-6
        assert torch.equal(pictures, before)

    def test_overwriting_saves_memory_and_changes_no_result(self, op: Op) -> None:
        op, pictures = op.with_field("p", 0.5), some_pictures(COUNT)
        expected = op(pictures, some_draws(COUNT))
        assert torch.equal(op(pictures.clone(), some_draws(COUNT), overwrite=True), expected)

    def test_it_fires_as_often_as_it_says(self, op: Op) -> None:
        """A sample for which it does not fire is as it would be if it never fired."""
        pictures, draws = some_pictures(MANY), some_draws(MANY)
        never, seldom, always = (op.with_field("p", p)(pictures, draws) for p in (0.0, 0.3, 1.0))
        fired, would = ((made != never).flatten(1).any(dim=1) for made in (seldom, always))
        assert would.any(), "it changes something"
        assert abs(float(fired.sum() / would.sum()) - 0.3) < 0.05

    def test_what_a_sample_gets_is_its_own(self, op: Op) -> None:
        """However the batch is split over workers and micro-batches."""
        op, pictures = op.with_field("p", 0.5), some_pictures(COUNT)
        rows = torch.tensor([3, 38, 17])
        alone = op(pictures[rows], Draws(rows, "suite"))
        torch.testing.assert_close(alone, op(pictures, some_draws(COUNT))[rows], rtol=0.0, atol=1e-6)

    def test_frames_of_a_clip_are_changed_alike(self, op: Op) -> None:
        op, clips = op.with_field("p", 0.5), some_pictures(3 * COUNT).view(COUNT, 3, 3, SIDE, SIDE)
        drawn = op.draw(Extent.of(clips.shape[1:]), some_draws(COUNT))
        frames = [op.change(frame, drawn) for frame in clips.unbind(1)]
        torch.testing.assert_close(op.change(clips, drawn), torch.stack(frames, dim=1), rtol=0.0, atol=1e-6)

    def test_where_it_says_that_pixels_go_is_where_they_go(self, op: Op) -> None:
        """A ramp over x and one over y are moved as the matrix moves points, where nothing was painted over."""
        if not op.moves:
            assert op.matrix(Extent(3, (SIDE, SIDE)), torch.device("cpu"), *parameters_of(op)) is None
            return
        centres = (torch.arange(SIDE) + 0.5) / SIDE
        ramps = torch.stack((centres.expand(SIDE, SIDE), centres[:, None].expand(SIDE, SIDE), torch.zeros(SIDE, SIDE)))
        drawn = op.draw(Extent(3, (SIDE, SIDE)), some_draws(COUNT))
        made = op.change(ramps.expand(COUNT, -1, -1, -1).contiguous(), drawn) * SIDE
        matrix = op.movement(Extent(3, (SIDE, SIDE)), torch.device("cpu"), drawn)
        assert matrix is not None
        height, width = made.shape[2:]
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        places = torch.stack((x, y, torch.ones_like(x))).double().flatten(1)
        came_from = (torch.linalg.inv(matrix) @ places).expand(COUNT, -1, -1).view(COUNT, 3, height, width)[:, :2]
        inside = ((came_from > 1) & (came_from < SIDE - 1)).all(dim=1)
        off = (made[:, :2].double() - came_from).abs().amax(dim=1)[inside]
        assert len(off) > SIDE
        assert float(off.max()) < 0.5

    @pytest.mark.parametrize("p", [0.5, 1.0])
    def test_a_gpu_need_not_be_waited_for(self, op: Op, p: float) -> None:
        """On one that is pretended; see :mod:`unlabeled.platform.testing.no_waits`."""
        op = op.with_field("p", p)
        with no_waits() as gpu:
            extent, draws = Extent(3, (SIDE, SIDE)), Draws(torch.arange(COUNT, device=gpu), "suite")
            drawn = op.draw(extent, draws)
            made = op.change(torch.zeros(COUNT, 3, SIDE, SIDE, device=gpu), drawn)
            assert made.shape == (COUNT, 3, *sides(op))
            op.movement(extent, gpu, drawn)

    def test_it_is_a_value(self, op: Op) -> None:
        policy = Policy(ops=(op,))
        assert Policy.model_validate_json(policy.canonical_json()) == policy
        assert Op.kinds()[op.name] is type(op)


def some_draws(count: int) -> Draws:
    """Return draws for the first rows of a batch."""
    return Draws(torch.arange(count), "suite")


def some_pictures(count: int, channels: int = 3) -> Tensor:
    """Return random pictures of 12 x 12 px."""
    return torch.rand(count, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(5))


def sides(op: Op) -> tuple[int, ...]:
    """Return height and width of what it makes of the suite's pictures."""
    return tuple(int(side) for side in op.output(Extent(3, (SIDE, SIDE))).size)


def parameters_of(op: Op) -> tuple[Tensor, ...]:
    """Return what it draws for the suite's pictures."""
    return op.parameters(Extent(3, (SIDE, SIDE)), some_draws(COUNT))
