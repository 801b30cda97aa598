"""Films of emoji: physics, cameras and sounds against what is told of them, and against brute force."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from unlabeled.platform.data import DataConfig, load
from unlabeled.platform.data.worlds import sounds
from unlabeled.platform.data.worlds.drawings import drawings
from unlabeled.platform.data.worlds.filming import Camera, Taken, owners
from unlabeled.platform.data.worlds.films import POINTS, Films
from unlabeled.platform.data.worlds.motion import FRAMES, MAX_EMOJI, RATE, Motion, move
from unlabeled.platform.draws import Draws

ROWS = torch.arange(60)
SCOPE = "emoji-films", "train"


@pytest.fixture(scope="module")
def films() -> Films:
    return Films("train", torch.arange(6_000), 48)


def motion_of(index: Tensor) -> Motion:
    return move(Draws(index, *SCOPE), drawings(), "train")


def emoji_of(motion: Motion) -> Iterator[tuple[int, int]]:
    """Yield film and slot of every emoji that is there."""
    for film, count in enumerate(motion.count):
        for slot in range(count):
            yield film, slot


# ---- what moves, and how -------------------------------------------------------------------------------------------


def test_an_emoji_falls_and_bounces_as_small_steps_of_time_say() -> None:
    motion = motion_of(ROWS)
    gravity, step = 160.0, 2e-4
    thrown = [at for at in emoji_of(motion) if 0 < motion.struck[*at, 0] < motion.speed[*at, 0] / 80][:8]
    assert len(thrown) == 8
    for at in thrown:  # in free flight when the film begins
        first, speed = float(motion.struck[*at, 0]), float(motion.speed[*at, 0])
        kept = float(motion.speed[*at, 1]) / speed
        height, rising = speed * first - gravity / 2 * first**2, gravity * first - speed
        stands = motion.y[*at, 0] + height  # where its top is when it lies
        for frame in range(FRAMES):
            assert motion.y[*at, frame] == pytest.approx(stands - height, abs=0.5)
            for _ in range(round(1 / RATE / step)):
                height, rising = height + rising * step, rising - gravity * step
                if height < 0:
                    height, rising = 0.0, -rising * kept if -rising * kept >= 18 else 0.0


def test_bounces_lose_speed_and_an_emoji_comes_to_lie() -> None:
    motion = motion_of(torch.arange(500))
    assert (np.diff(motion.speed, axis=2) <= 0).all()
    assert (np.diff(motion.struck, axis=2) >= 0).all()
    kept = motion.speed[:, :, 1] / motion.speed[:, :, 0]
    assert kept[kept > 0].min() > 0.5
    assert kept.max() < 0.9
    before, after = motion.struck[:, :, 0] > 0, motion.struck[:, :, 0] < 0
    assert 0.3 < before.mean() < 0.7, "a film begins at any moment"
    assert after.mean() > 0.3


def test_where_things_are_does_not_tell_first_from_last() -> None:
    index = torch.arange(1_500)
    motion = motion_of(index)
    pose = Films("train", index, 48).tensor(index, "pose").sum(dim=1)
    for axis, most in ((0, 38), (1, 10)):
        assert abs(float((pose[:, axis] > 0).float().mean() - (pose[:, axis] < 0).float().mean())) < 0.1
        assert 0.2 * most < pose[:, axis].abs().mean() < pose[:, axis].abs().max() <= most
    assert abs((motion.along > 0).mean() - 0.5) < 0.05
    taken = Taken.of(motion, Camera.first(len(index)), 48)
    there = np.arange(MAX_EMOJI) < motion.count[:, None]
    left, right = taken.corner[..., 0], taken.corner[..., 0] + taken.size[:, None]
    seen = ((left < 48) & (right > 0)).transpose(0, 2, 1)[there]
    assert 0.7 < seen.mean() < 1
    assert abs(seen[:, 0].mean() - seen[:, -1].mean()) < 0.03, "as many come as go"
    enters = ~seen[:, 0] & seen[:, -1]
    assert enters.mean() > 0.02
    sides = (taken.corner[:, 0, :, 0][there] < 0)[enters].mean()
    assert 0.4 < sides < 0.6


# ---- what is told of a film ----------------------------------------------------------------------------------------


def test_the_pose_is_the_shift_of_the_ground(films: Films) -> None:
    index = ROWS[:24]
    clips, masks = films.tensor(index, "clip").int(), films.tensor(index, "mask")
    poses = films.tensor(index, "pose")
    assert (poses[:, 0] == 0).all()
    for clip, mask, pose in zip(clips, masks, poses, strict=True):
        free = torch.nn.functional.max_pool2d((mask > 0).float(), 3, stride=1, padding=1) == 0  # and hardly a soft edge
        for frame in range(1, FRAMES):
            found = {}
            for right in range(-4, 5):
                for down in range(-2, 3):
                    here = (slice(4, 44), slice(4, 44))
                    there = (slice(4 + down, 44 + down), slice(4 + right, 44 + right))
                    both = free[frame][here] & free[frame - 1][there]
                    difference = (clip[frame][:, *here] - clip[frame - 1][:, *there]).abs().sum(dim=0)
                    found[right, down] = float(difference[both].float().mean())
            best = min(found, key=lambda shift: found[shift])
            assert best == tuple(pose[frame].int().tolist())
            assert found[best] < 0.2


def test_masks_objects_and_boxes_agree(films: Films) -> None:
    index = ROWS[:16]
    masks, objects = films.tensor(index, "mask"), films.tensor(index, "objects")
    boxes, classes = films.tensor(index, "boxes"), films.tensor(index, "class")
    assert torch.equal(masks > 0, objects > 0)
    for film in range(len(index)):
        firsts = masks[film][objects[film] == 1].unique()
        assert firsts.tolist() == [int(classes[film]) + 1]
        for frame in range(FRAMES):
            seen = [number for number in objects[film, frame].unique().tolist() if number]
            there = boxes[film, frame][~boxes[film, frame, :, 0].isnan()]
            assert len(there) == len(seen)
            for number, box in zip(seen, there, strict=True):
                y, x = (objects[film, frame] == number).nonzero(as_tuple=True)
                edges = [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1]
                assert box[:4].tolist() == edges
                assert masks[film, frame, y[0], x[0]] == box[4] + 1


def test_points_lie_on_their_emoji_and_keep_their_places_on_it(films: Films) -> None:
    index = ROWS[:30]
    points, objects = films.tensor(index, "points"), films.tensor(index, "objects")
    taken = Taken.of(motion_of(index), Camera.first(len(index)), 48)
    seen = ~points.isnan().any(dim=-1)
    assert 0.3 < seen.float().mean() < 0.9
    for film, frame, point in seen.nonzero().tolist():
        x, y = points[film, frame, point].tolist()
        assert (x % 1, y % 1) == (0.5, 0.5)
        assert objects[film, frame, int(y), int(x)] == point // POINTS + 1
    corner = torch.from_numpy(taken.corner).repeat_interleave(POINTS, dim=2)
    on_it = points - corner
    for film in range(len(index)):
        for point in range(MAX_EMOJI * POINTS):
            mine = on_it[film, :, point][seen[film, :, point]]
            assert len(mine.unique(dim=0)) <= 1


@pytest.mark.parametrize("px", [48, 30, 100])
def test_the_second_camera_sees_the_same_from_where_its_matrix_says(px: int) -> None:
    index = torch.arange(24)
    motion, camera = motion_of(index), Camera.second(Draws(index, *SCOPE, "camera2"))
    first = owners(motion, Taken.of(motion, Camera.first(len(index)), px), px)
    second = owners(motion, Taken.of(motion, camera, px), px)
    second[camera.mirrored] = second[camera.mirrored][..., ::-1]
    assert 0.2 < camera.mirrored.mean() < 0.8
    matrices = Films("train", index, px).tensor(index, "camera2").double().numpy()
    agree, total = 0, 0
    y, x = np.mgrid[:px, :px] + 0.5
    for film, matrix in enumerate(matrices):
        x2, y2, _ = np.floor(matrix @ np.stack([x.ravel(), y.ravel(), np.ones(px * px)])).astype(int)
        inside = (x2 >= 0) & (x2 < px) & (y2 >= 0) & (y2 < px)
        for frame in range(0, FRAMES, 3):
            ours, theirs = first[film, frame].ravel()[inside], second[film, frame, y2[inside], x2[inside]]
            union = (ours > 0) | (theirs > 0)
            agree += int((ours == theirs)[union].sum())
            total += int(union.sum())
    assert agree / total > (0.75 if px < 48 else 0.85), "all but edges, which are a pixel off at most"


def test_the_second_film_has_other_colours_and_the_same_ground(films: Films) -> None:
    index = ROWS[:20]
    one, two = films.tensor(index, "clip").double() / 255, films.tensor(index, "clip2").double() / 255
    assert one.shape == two.shape
    apart = (one.mean(dim=(1, 3, 4)) - two.mean(dim=(1, 3, 4))).abs().amax(dim=1)
    assert (apart > 0.04).double().mean() > 0.8
    matrices = films.tensor(index, "camera2").double()
    y, x = torch.meshgrid(torch.arange(48) + 0.5, torch.arange(48) + 0.5, indexing="ij")
    correlated = []
    for film, matrix in enumerate(matrices):
        there = (matrix @ torch.stack([x.flatten(), y.flatten(), torch.ones(48 * 48)]).double())[:2].T / 24 - 1
        grid = there.view(1, 48, 48, 2)
        moved = torch.nn.functional.grid_sample(two[film, 5][None], grid, align_corners=False)[0].flatten(1)
        inside = (grid.abs() < 0.95).all(dim=-1).flatten()
        ours = one[film, 5].flatten(1)
        found = torch.corrcoef(torch.cat([ours, moved])[:, inside])[:3, 3:].abs()
        correlated.append(float(found.max()))
    assert np.median(correlated) > 0.8


def test_captions_tell_the_bounces_and_the_pan(films: Films) -> None:
    motion = motion_of(ROWS)
    for film, text in enumerate(films.read(ROWS, "text")):
        assert isinstance(text, str)
        said, _, pan = text.partition("; the camera ")
        parts = [
            f"{name} goes" for name in (drawings().names[row] for row in motion.drawing[film, : motion.count[film]])
        ]
        assert all(part in said for part in parts)
        moved = motion.camera[film, -1, 0] - motion.camera[film, 0, 0]
        assert pan == {1: "pans right", -1: "pans left", 0: "comes back"}[int(np.sign(moved))]
        struck = [
            sum(0 <= t < 2 and v > 0 for t, v in zip(motion.struck[film, slot], motion.speed[film, slot], strict=True))
            for slot in range(motion.count[film])
        ]
        words = {0: "never bounces", 1: "bounces once", 2: "bounces twice"}
        told = [part.rpartition(" and ")[2] for part in said.split(", ") if " goes " in part]
        assert told[-1] == words.get(struck[-1], f"bounces {struck[-1]} times")


# ---- what is heard -------------------------------------------------------------------------------------------------


def test_a_bounce_sounds_at_its_moment(films: Films) -> None:
    index = torch.arange(400)
    motion = motion_of(index)
    waves = films.tensor(index, "wave")[:, 0].numpy()
    window, heard = int(0.02 * sounds.WAVE_RATE), 0
    for film, slot in emoji_of(motion):
        others = motion.struck[film].ravel()
        for moment, speed in zip(motion.struck[film, slot], motion.speed[film, slot], strict=True):
            close = np.abs(others - moment)
            if motion.count[film] > 1 or not 0.1 < moment < 1.9 or speed < 40 or (close[close > 0] < 0.1).any():
                continue
            sample = int(moment * sounds.WAVE_RATE)
            before = np.square(waves[film, sample - window : sample - 1].astype(np.float64)).mean()
            after = np.square(waves[film, sample : sample + window].astype(np.float64)).mean()
            assert after > 1.5 * before
            heard += 1
    assert heard > 50


def test_before_anything_bounces_there_is_hiss_alone(films: Films) -> None:
    index = torch.arange(400)
    motion = motion_of(index)
    waves = films.tensor(index, "wave")[:, 0]
    late = np.where(np.arange(MAX_EMOJI) < motion.count[:, None], motion.struck[:, :, 0], 9.0).min(axis=1)
    quiet = [(film, moment) for film, moment in enumerate(late.tolist()) if moment > 0.3]
    assert len(quiet) > 30
    for film, moment in quiet:
        start = waves[film, : int(min(moment, 2.0) * sounds.WAVE_RATE)]
        assert 0 < start.abs().max() < 0.01


def test_the_two_drawings_of_an_emoji_sound_alike_and_other_emoji_do_not() -> None:
    strike = sounds._strike
    emoji, group = drawings().emoji, drawings().group
    assert emoji[0] == emoji[1]
    one, other = strike(int(emoji[0]), int(group[0])), strike(int(emoji[2]), int(group[2]))
    assert not np.array_equal(one, other)
    assert abs(int(one[0])) < 100
    assert abs(int(one[-1])) < 100
    for each in (one, other):
        assert 2_000 < np.abs(each).max() < 32_000


def test_no_entry_of_the_tables_of_sound_could_be_rounded_otherwise() -> None:
    exact = [
        *(32767 * np.sin(2 * np.pi * np.arange(4096) / 4096)),
        *(32768 * 2.0 ** (-np.arange(1024) / 1024)),
    ]
    away = np.abs(np.array(exact) % 1 - 0.5)
    assert away.min() > 1e-6


def test_points_of_films_so_small_that_drawings_vanish_are_not_seen() -> None:
    films = load(DataConfig(name="emoji-films", image_px=8, train_images=32)).train
    points = films.read(films.rows, "points")
    assert points.isfinite().any()
    assert points.isnan().any()
