"""Dense object nets: the loss by a loop over matches and non-matches, which pixels are drawn, and what is refused."""

import itertools
from collections import Counter

import pytest
import torch
from formats import plain
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.contrastive.dense_object_nets import DenseObjectNets, DenseObjectNetsConfig, is_object
from unlabeled.methods.losses.pixels import centres, draw_pixels, pixel_contrast
from unlabeled.platform.augment import PLAIN, Crop, Flip, Policy, View, ViewPlan
from unlabeled.platform.augment.geometry import scaling
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.train.built import check_built, check_fits

B, D, K, P, H, W = 3, 4, 5, 6, 7, 9
MARGIN = 0.5


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def interpolated(picture: Tensor, x: float, y: float) -> Tensor:
    """Return what a picture [D, H, W] is at a place between pixels; beyond the outermost centres it is theirs."""
    column, row = min(max(x - 0.5, 0.0), W - 1.0), min(max(y - 0.5, 0.0), H - 1.0)
    left, top = min(int(column), W - 2), min(int(row), H - 2)
    right, down = column - left, row - top
    upper = (1 - right) * picture[:, top, left] + right * picture[:, top, left + 1]
    lower = (1 - right) * picture[:, top + 1, left] + right * picture[:, top + 1, left + 1]
    return (1 - down) * upper + down * lower


def test_loss_and_gradient_are_those_of_a_loop() -> None:
    of_first = (0.4 * torch.randn(B, D, H, W, generator=generator(), dtype=torch.float64)).requires_grad_()
    of_second = (0.4 * torch.rand(B, D, H, W, generator=generator(), dtype=torch.float64)).requires_grad_()
    here = torch.randint(H * W, (B, K), generator=generator())
    there = torch.rand(B, K, 2, generator=generator(), dtype=torch.float64) * torch.tensor([W, H])
    none = torch.randint(H * W, (B, K, P), generator=generator())
    counts = torch.rand(B, K, P, generator=generator()) < 0.7
    counts[1] = False  # of one picture nothing counts
    matches, lacks, shares = [], [], []
    for b in range(B):
        near, lack = [], []
        for k in range(K):
            anchor = of_first[b, :, int(here[b, k]) // W, int(here[b, k]) % W]
            near.append((anchor - interpolated(of_second[b], *there[b, k].tolist())).square().sum())
            for p in range(P):
                if counts[b, k, p]:
                    pixel = int(none[b, k, p])
                    apart = (anchor - of_second[b, :, pixel // W, pixel % W]).square().sum()
                    lack.append(torch.relu(MARGIN - apart))
        hard = [each for each in lack if each > 0]
        matches.append(torch.stack(near).mean() if lack else torch.zeros((), dtype=torch.float64))
        lacks.append(torch.stack(hard).sum() / len(hard) if hard else torch.zeros((), dtype=torch.float64))
        shares.append(len(hard) / max(1, len(lack)))
    assert 0.0 < sum(shares) < 2.0, "some are within the margin, and some are not"
    made = pixel_contrast(of_first, of_second, here, there, none, counts, MARGIN)
    assert_close(made.match, torch.stack(matches).mean())
    assert_close(made.non_match, torch.stack(lacks).mean())
    assert_close(made.hard.item(), sum(shares) / B)
    expected = torch.stack(matches).mean() + torch.stack(lacks).mean()
    assert_close(made.loss, expected)
    for ours, theirs in zip(
        torch.autograd.grad(made.loss, (of_first, of_second)),
        torch.autograd.grad(expected, (of_first, of_second)),
        strict=True,
    ):
        assert_close(ours, theirs)


def test_nothing_to_compare_is_no_loss() -> None:
    of = torch.randn(B, D, H, W, requires_grad=True)
    none, counts = torch.zeros(B, K, P, dtype=torch.int64), torch.zeros(B, K, P, dtype=torch.bool)
    made = pixel_contrast(of, of, none[..., 0], torch.zeros(B, K, 2), none, counts, MARGIN)
    made.loss.backward()
    assert made.loss == made.hard == 0.0
    assert of.grad is not None
    assert not of.grad.any()


def test_pixels_are_drawn_evenly_of_those_that_are_marked() -> None:
    where = torch.zeros(2, H, W, dtype=torch.bool)
    marked = [(0, 0), (3, 4), (6, 8), (6, 7)]
    for y, x in marked:
        where[0, y, x] = True
    pixels, any_B = draw_pixels(where, 20_000, Draws(torch.arange(2), 0, 0), "match")
    assert any_B.tolist() == [True, False]
    found = Counter(pixels[0].tolist())
    assert set(found) == {y * W + x for y, x in marked}
    assert all(count == pytest.approx(5_000, abs=300) for count in found.values())
    assert (pixels[1] < H * W).all()
    assert_close(centres(pixels[0, :1], W)[0], torch.tensor([pixels[0, 0] % W + 0.5, pixels[0, 0] // W + 0.5]))


# ---- the method ----------------------------------------------------------------------------------------------------


def method(**fields: object) -> DenseObjectNets:
    torch.manual_seed(0)
    config = DenseObjectNetsConfig.checked(**{"num_matches": 40, "num_non_matches": 20, **fields})
    return DenseObjectNets(config, ConvNetConfig(width=4).build(plain(3, 16))).double().eval()


def batch_of(mask: Tensor | None = None) -> Batch:
    """Return a picture as it is, and its right half, twice as wide: the object is on columns 6 to 9."""
    picture = torch.rand(2, 3, 16, 16, generator=generator(), dtype=torch.float64)
    half = picture[..., 8:].repeat_interleave(2, dim=3)
    if mask is None:
        mask = torch.zeros(2, 16, 16, dtype=torch.uint8)
        mask[:, 4:12, 6:10] = 3
        mask[:, 0] = 255
    to_half = scaling(torch.tensor([[2.0, 1.0]]), torch.tensor([[-16.0, 0.0]])).expand(2, -1, -1).float()
    rows = torch.arange(2)
    return Batch(
        views=(picture, half),
        index=rows,
        draws=Draws(rows, 0, 0),
        targets={"mask": mask},
        to_view=(torch.eye(3).expand(2, 3, 3), to_half),
    )


class Asked:
    """Keeps what the loss is asked for."""

    def __init__(self) -> None:
        self.given: list[Tensor] = []

    def __call__(self, *given: Tensor) -> object:
        self.given = list(given)
        return pixel_contrast(*given)  # type: ignore[arg-type]


def test_matches_are_pixels_of_objects_and_non_matches_are_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked()
    monkeypatch.setattr("unlabeled.methods.contrastive.dense_object_nets.pixel_contrast", asked)
    method()(batch_of())
    _, _, here, there, none, counts, _ = asked.given
    assert counts.any()
    for b, k in itertools.product(range(2), range(40)):
        column, row = int(here[b, k]) % 16, int(here[b, k]) // 16
        assert 8 <= column < 10, "on the object, and in both views"
        assert 4 <= row < 12
        assert there[b, k].tolist() == [2 * (column + 0.5) - 16, row + 0.5]
        for p in range(20):
            x, y = int(none[b, k, p]) % 16, int(none[b, k, p]) // 16
            on_object = x < 4 and 4 <= y < 12  # of the second view, where a column is half a pixel wide
            assert on_object is (p < 10)
            assert y > 0, "nothing is told of the first row"
            near = abs(x + 0.5 - there[b, k, 0]) < 1 and abs(y + 0.5 - there[b, k, 1]) < 1
            assert bool(counts[b, k, p]) is not near


@pytest.mark.parametrize("kind", ["none", "all", "unseen"])
def test_a_picture_without_an_object_in_both_views_has_no_loss(kind: str) -> None:
    mask = torch.zeros(2, 16, 16, dtype=torch.uint8)
    if kind == "all":
        mask += 255
    elif kind == "unseen":
        mask[:, :, :4] = 2
    assert method()(batch_of(mask)).loss == 0.0


def test_an_object_without_ground_is_compared_with_itself() -> None:
    mask = torch.ones(2, 16, 16, dtype=torch.uint8)
    assert method()(batch_of(mask)).logs["dense/hard"] > 0.0


def test_views_that_are_the_same_have_equal_descriptors_at_matches() -> None:
    batch = batch_of()
    same = Batch(
        views=(batch.views[0],) * 2,
        index=batch.index,
        draws=batch.draws,
        targets=batch.targets,
        to_view=(batch.to_view[0],) * 2,
    )
    result = method()(same)
    assert result.logs["dense/match"].item() == pytest.approx(0.0, abs=1e-12)
    assert result.logs["dense/non_match"] > 0.0


def test_descriptors_are_as_large_as_the_picture() -> None:
    assert method(dim=5).describe(batch_of().views[0]).shape == (2, 5, 16, 16)
    assert is_object(torch.tensor([0, 1, 254, 255])).tolist() == [False, True, True, False]


def test_figures_are_colours_and_lines() -> None:
    figures = method(dim=4).figures(batch_of())
    colours = figures["descriptors"].columns["descriptors"]
    assert colours.shape == (2, 3, 16, 16)
    assert (colours.min(), colours.max()) == (0.0, 1.0)
    lines = figures["matches"].lines
    assert lines is not None
    assert lines.shape == (2, 6, 4)


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenes() -> Data:
    return load(DataConfig(name="emoji-scenes", train_images=256, image_px=32))


def run_of(name: str = "emoji-scenes", **fields: object) -> RunConfig:
    return RunConfig.checked(method=DenseObjectNetsConfig.checked(**fields), data=DataConfig(name=name), batch_size=64)


def test_its_defaults_fit_scenes(scenes: Data) -> None:
    check_built(run_of(), scenes)


def test_without_masks_or_of_films_is_one_clear_line(small_data: Data) -> None:
    with pytest.raises(UserError, match="dense-object-nets needs the field 'mask', and fashion-mnist-12k has only"):
        check_fits(run_of(), small_data)
    films = load(DataConfig(name="emoji-films", train_images=256)).showing("clip")
    clip = View(field="clip", policy=Policy(ops=(Flip(),)))
    with pytest.raises(
        UserError, match="views of pictures that have masks, and the mask of emoji-films lies in 'clip'"
    ):
        check_fits(run_of("emoji-films", views=ViewPlan(views=(clip, clip))), films)


def test_views_of_two_sizes_are_one_clear_line(scenes: Data) -> None:
    small = Policy(ops=(Crop(size=16),))
    with pytest.raises(UserError, match="dense-object-nets needs views of one size, got 32 and 16; crop them"):
        check_fits(run_of(views=ViewPlan(views=(PLAIN, small))), scenes)
