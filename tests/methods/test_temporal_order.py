"""Temporal order: which frames are drawn and in what order, the odd one out, and sums of differences, by loops."""

import itertools
from collections import Counter

import pytest
import torch
from formats import plain
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.innate.frames import differences, drawn, motion, pick, shuffled
from unlabeled.methods.innate.temporal_order import TemporalOrder, TemporalOrderConfig, tuples
from unlabeled.platform.augment import Moment, View, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.data.worlds.drawings import drawings
from unlabeled.platform.data.worlds.motion import move
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.train.built import check_built, check_fits

B, T, PX = 5, 9, 16
MANY = Draws(torch.arange(20_000), "many")


def method(**fields: object) -> TemporalOrder:
    torch.manual_seed(0)
    config = TemporalOrderConfig.checked(**{"head": (7,), "frame_features": (6,), **fields})
    return TemporalOrder(config, ConvNetConfig(width=4).build(plain(3, PX))).double().eval()


def batch_of(clip: Tensor | None = None) -> Batch:
    if clip is None:
        clip = torch.rand(B, T, 3, PX, PX, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = torch.arange(len(clip))
    return Batch(views=(clip,), index=rows, draws=Draws(rows, 0, 0))


def numbered(frames: int = T) -> Tensor:
    """Return clips whose frame n is n / 10 everywhere: of a tuple one sees where it is from."""
    return (torch.arange(frames).double() / 10).view(1, -1, 1, 1, 1).expand(B, -1, 3, PX, PX)


def seen(ours: TemporalOrder, frame: Tensor) -> Tensor:
    """Return what a frame alone goes through: of the encoder's 2 x 2 places each stands for 3 x 3 of 6 x 6."""
    grid = ours.encoder.maps(frame[None]).grid
    assert grid.shape[2:] == (2, 2)
    made: Tensor = ours.frame_layers(grid.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3).flatten(1))[0]
    return made


# ---- three in order ------------------------------------------------------------------------------------------------


def test_one_in_four_is_in_order_and_backwards_counts_as_well() -> None:
    order, answer = tuples(MANY)
    counts = Counter(zip(map(tuple, order.tolist()), answer.tolist(), strict=True))
    expected = {(1, 2, 3): 1 / 4, (1, 0, 3): 3 / 8, (1, 4, 3): 3 / 8}
    for forwards, share in expected.items():
        for which in (forwards, forwards[::-1]):
            found = counts.pop((which, int(forwards == (1, 2, 3)))) / len(order)
            assert found == pytest.approx(share / 2, abs=4 * (share / 2 / len(order)) ** 0.5)
    assert not counts, "and there is nothing else"


def test_what_is_shown_is_in_order_where_the_answer_says_so() -> None:
    shown, answer = method(by_motion=False).ask(numbered(), batch_of().draws)
    for frames, answer_of in zip((shown[:, :, 0, 0, 0] * 10).round().long().tolist(), answer.tolist(), strict=True):
        first, middle, last = frames
        assert (min(first, last) < middle < max(first, last)) is bool(answer_of)


def test_first_and_last_frame_tell_nothing() -> None:
    """Given where b and d are, the answer is as likely as ever: only the frame between tells."""
    five = drawn(torch.ones(len(MANY.rows), T), 5, MANY, "frames")
    order, answer = tuples(MANY)
    ends = five.gather(1, order)[:, [0, 2]]
    for pair in {(1, 3), (2, 5), (6, 3), (7, 4)}:
        there = (ends == torch.tensor(pair)).all(dim=1)
        share, count = answer[there].double().mean().item(), int(there.sum())
        assert share == pytest.approx(1 / 4, abs=4 * (3 / 16 / count) ** 0.5)


def test_the_loss_is_the_cross_entropy_of_features_side_by_side() -> None:
    ours, batch = method(), batch_of()
    shown, answer = ours.ask(batch.views[0], batch.draws)
    terms, right = [], []
    for frames, answer_of in zip(shown, answer.tolist(), strict=True):
        feature = torch.cat([seen(ours, frame) for frame in frames])
        odds = ours.head(feature).softmax(dim=0)
        terms.append(-odds[answer_of].log())
        right.append(float(odds[answer_of] == odds.max()))
    result = ours(batch)
    assert_close(result.loss, torch.stack(terms).mean())
    assert result.logs["order/top1"].item() == pytest.approx(sum(right) / B)


# ---- where something moves -----------------------------------------------------------------------------------------


def test_motion_is_how_much_pixels_change_before_and_after_a_frame() -> None:
    clip = batch_of().views[0]
    found = motion(clip)
    for b, t in itertools.product(range(B), range(T)):
        beside = [u for u in (t - 1, t + 1) if 0 <= u < T]
        expected = sum(((clip[b, t] - clip[b, u]).abs().sum() / (3 * PX * PX) for u in beside), torch.zeros(()))
        assert_close(found[b, t], expected.double())


def test_frames_are_drawn_without_replacement_in_proportion_to_their_weights() -> None:
    weight = torch.tensor([1.0, 2.0, 5.0, 3.0])
    found = Counter(map(tuple, drawn(weight.expand(len(MANY.rows), -1), 2, MANY, "frames").tolist()))
    share = weight / weight.sum()
    for i, j in itertools.combinations(range(4), 2):
        one_after_the_other = share[i] * share[j] / (1 - share[i]) + share[j] * share[i] / (1 - share[j])
        assert found.pop((i, j)) / len(MANY.rows) == pytest.approx(one_after_the_other.item(), abs=0.015)
    assert not found, "each is in order"


def test_a_film_that_stands_still_is_drawn_from_as_well() -> None:
    frames = drawn(motion(torch.full((B, T, 3, 4, 4), 0.3)), 5, batch_of().draws, "frames")
    assert (frames.diff(dim=1) > 0).all()


def test_frames_that_move_are_shown_if_so_wanted() -> None:
    clip = numbered(40).clone()
    clip[:, :30] = 3.0  # it moves from frame 30 on alone

    def still(by_motion: bool) -> Tensor:
        shown, _ = method(by_motion=by_motion).ask(clip, batch_of().draws)
        return (shown[:, :, 0, 0, 0] == 3.0).sum(dim=1)

    assert still(by_motion=True).max() <= 1
    assert still(by_motion=False).max() > 1


def test_picked_frames_are_those_of_their_clip() -> None:
    clip, frames = batch_of().views[0], torch.randint(T, (B, 4))
    made = pick(clip, frames)
    for b, k in itertools.product(range(B), range(4)):
        assert torch.equal(made[b, k], clip[b, frames[b, k]])


# ---- the odd one out -----------------------------------------------------------------------------------------------


def test_differences_are_summed_over_all_pairs() -> None:
    x = torch.randn(B, 6, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs = itertools.combinations(range(6), 2)
    assert_close(differences(x), torch.stack([x[:, j] - x[:, i] for i, j in pairs]).sum(dim=0))


@pytest.mark.parametrize("length", [2, 3, 6])
def test_what_is_shuffled_is_every_order_but_the_right_one(length: int) -> None:
    found = Counter(map(tuple, shuffled(MANY, length).tolist()))
    others = set(itertools.permutations(range(length))) - {tuple(range(length))}
    assert set(found) == others


@pytest.mark.parametrize("frames", [4, 5])
def test_one_part_is_out_of_order_and_pictures_of_them_stay_in_range(frames: int) -> None:
    ours = method(task="odd-one-out", parts=4, part_frames=frames, by_motion=False)
    rows = torch.arange(400)
    clip = (torch.arange(T).double() / (T - 1)).view(1, -1, 1, 1, 1).expand(len(rows), -1, 3, 1, 1)
    shown, answer = ours.ask(clip, Draws(rows, 0, 0))
    assert shown.shape == (400, 4, 3, 1, 1)
    assert answer.unique().tolist() == [0, 1, 2, 3]  # type: ignore[no-untyped-call]
    is_odd = torch.arange(4) == answer[:, None]
    rising = shown[:, :, 0, 0, 0] - 0.5
    assert (rising[~is_odd] > 0.0).all(), "brighter and brighter, in order"
    assert (rising[is_odd] <= 0.0).any()
    extreme = (
        torch.stack([torch.zeros(1, T // 2, 3, 1, 1), torch.ones(1, T // 2, 3, 1, 1)], dim=1).flatten(1, 2).double()
    )
    shown, _ = ours.ask(extreme.expand(len(rows), -1, -1, -1, -1), Draws(rows, 0, 0))
    assert 0.0 <= shown.min() < shown.max() <= 1.0


def test_the_parts_are_told_apart_by_the_sum_of_their_differences() -> None:
    ours, batch = method(task="odd-one-out", parts=3, part_frames=4), batch_of()
    shown, answer = ours.ask(batch.views[0], batch.draws)
    terms = []
    for parts, answer_of in zip(shown, answer.tolist(), strict=True):
        v = [seen(ours, part) for part in parts]
        joined = (v[1] - v[0]) + (v[2] - v[0]) + (v[2] - v[1])
        terms.append(-ours.head(joined).log_softmax(dim=0)[answer_of])
    assert_close(ours(batch).loss, torch.stack(terms).mean())


# ---- figures and what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("fields", "count"), [({}, 4), ({"task": "odd-one-out", "parts": 3, "part_frames": 4}, 4)])
def test_figures_show_what_is_asked(fields: dict[str, object], count: int) -> None:
    columns = method(**fields).figures(batch_of())["order"].columns
    assert len(columns) == count
    assert all(
        column.shape[2:] == (PX, PX) and column.min() >= 0.0 and column.max() <= 1.0 for column in columns.values()
    )


@pytest.fixture(scope="module")
def films() -> Data:
    return load(DataConfig(name="emoji-films", train_images=256)).showing("clip")


def run_of(**fields: object) -> RunConfig:
    return RunConfig.checked(
        method=TemporalOrderConfig.checked(**fields), data=DataConfig(name="emoji-films"), batch_size=64
    )


def test_its_defaults_fit_films(films: Data) -> None:
    check_built(run_of(), films)
    check_built(run_of(task="odd-one-out"), films)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"views": ViewPlan(views=(View(field="wave"),))}, "needs films, and method.views is of 'wave', a wave$"),
        (
            {"views": ViewPlan(views=(View(field="clip", time=Moment(length=4)),))},
            "^temporal-order draws 5 of the frames of a view, and it has 4; show more$",
        ),
        ({"task": "odd-one-out", "part_frames": 17}, "draws 17 of the frames of a view, and it has 16; show more$"),
    ],
)
def test_what_is_too_short_or_no_film_is_one_clear_line(fields: dict[str, object], message: str, films: Data) -> None:
    with pytest.raises(UserError, match=message):
        check_fits(run_of(**fields), films)


def test_pictures_are_refused(small_data: Data) -> None:
    with pytest.raises(UserError, match=r"view 1 of method.views is of the field 'clip', and fashion-mnist-12k has"):
        check_fits(run_of(), small_data)


def test_settings_of_the_other_task_are_refused() -> None:
    with pytest.raises(UserError, match="parts and part_frames are of the task odd-one-out; leave them out, or set"):
        TemporalOrderConfig.checked(parts=4)


def test_where_the_largest_emoji_is_in_three_frames_tells_their_order() -> None:
    """As it goes one way, the second place is between the others; known to a tenth of the side only, that is lost."""
    numbers = torch.arange(3000)
    motion = move(Draws(numbers, "emoji-films", "train"), drawings(), "train")
    x = torch.from_numpy(motion.x[:, 0] - motion.camera[:, :, 0])
    draws = Draws(numbers, 0, "oracle")
    order, answer = tuples(draws)
    shown = x.gather(1, drawn(torch.ones(3000, 16), 5, draws, "frames").gather(1, order))

    def told(place: Tensor) -> float:
        """Return the mean of how many are told of those in order, and of those that are not."""
        between = (place[:, 1] - place[:, 0]) * (place[:, 2] - place[:, 1]) > 0
        return sum((between == answer.bool())[answer == kind].double().mean().item() for kind in (0, 1)) / 2

    assert told(shown) > 0.85
    assert told(shown + 5.0 * draws.normal("blur", 3)) < 0.65
