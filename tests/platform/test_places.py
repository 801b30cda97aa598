"""Probes of features in their places, against definitions written out again."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from grids import CHANNELS, CLASSES, GRID, PX, data_of, films, grid_of, scenes, squares, told_of
from sklearn.metrics import jaccard_score
from torch import Tensor

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.augment import Crop, Policy, two_views
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.evaluate import Detect, Features, Frames, Keypoints, Linear, Propagate, Segment, extract
from unlabeled.platform.evaluate.average_precision import Found, average_precision, mean_average_precision
from unlabeled.platform.evaluate.detect import _Head
from unlabeled.platform.evaluate.keypoints import located, on_grid
from unlabeled.platform.evaluate.layers import grids
from unlabeled.platform.evaluate.places import upsampled
from unlabeled.platform.evaluate.propagate import boundary_f, jaccard, scaled
from unlabeled.platform.evaluate.propagation import Propagation
from unlabeled.platform.evaluate.segment import confusion, mean_iou
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import build_method, check_built
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.platform.train.protocols import protocols

QUICK = Segment(epochs=1, min_steps=120, batch_size=16)
RANDOM = np.random.default_rng(0)


def test_upsampling_is_torchs() -> None:
    grid = torch.randn(2, 3, 5, 4)
    expected = F.interpolate(grid, size=(17, 8), mode="bilinear")
    torch.testing.assert_close(upsampled(grid, (17, 8)), expected)


def test_miou_is_scikit_learns_over_the_classes_that_are_there() -> None:
    true = torch.from_numpy(RANDOM.choice([0, 1, 4, 255], size=(6, 9, 7))).to(torch.uint8)
    found = torch.from_numpy(RANDOM.choice([0, 1, 2, 4], size=(6, 9, 7)))
    told = (true != 255).numpy()
    there = [0, 1, 4]
    theirs = jaccard_score(true.numpy()[told], found.numpy()[told], labels=there, average="macro")
    assert mean_iou(confusion(found, true)) == pytest.approx(theirs)
    of_each = []
    for number in there:
        both = either = 0
        for ours, theirs in zip(found.flatten().tolist(), true.flatten().tolist(), strict=True):
            if theirs != 255:
                both += ours == theirs == number
                either += number in (ours, theirs)
        of_each.append(both / either)
    assert mean_iou(confusion(found, true)) == pytest.approx(sum(of_each) / 3)
    assert math.isnan(mean_iou(confusion(found, torch.full_like(true, 255))))


def test_segment_reads_what_is_there_and_is_worse_with_noise() -> None:
    scores = []
    for noise in (0.0, 3.0):
        train, test = (
            Features(grid_of(masks, noise, seed), masks, (PX, PX))
            for masks, seed in ((squares(64)[0], "train"), (squares(48, "test")[0], "test"))
        )
        scores.append(QUICK(train, test))
        assert QUICK(train, test) == scores[-1], "it repeats"
    assert scores[0]["miou"] > 0.65
    assert scores[0]["accuracy"] > 0.9
    assert scores[1]["miou"] < scores[0]["miou"] - 0.2


def test_segment_looks_at_no_pixel_that_nothing_is_told_of_and_at_frames_as_pictures() -> None:
    train, test = told_of(QUICK)
    assert test.labels is not None
    hidden = test.labels.clone()
    hidden[:, :, : PX // 2] = 255
    score = QUICK.fit(train)
    found = score(Features(test.x, hidden, test.size))
    assert found == score(Features(test.x, hidden, test.size))
    assert found != score(test)
    clips = Features(test.x.unflatten(0, (12, 4)), test.labels.unflatten(0, (12, 4)), test.size)
    assert score(clips) == score(test)
    lost = train.labels.clone()  # type: ignore[union-attr]
    lost[lost == 2] = 255
    without = QUICK(Features(train.x, lost, train.size), test)
    true_found = (test.labels == 2).any()
    assert true_found
    assert without["miou"] < 2.0 / 3.0, "a class that training lacks is never found"


def by_hand(
    found: Sequence[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]],
    true: Sequence[npt.NDArray[np.float64]],
) -> float:
    """Average precision of one class by the definition: at each recall the best precision at it or beyond."""

    def overlap(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        both = max(width, 0.0) * max(height, 0.0)
        return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))

    every = [(s, n, box) for n, (boxes, scores) in enumerate(found) for box, s in zip(boxes, scores, strict=True)]
    every.sort(key=lambda one: -one[0])
    taken, points, right = set(), [], 0
    for rank, (_, picture, box) in enumerate(every, start=1):
        overlaps = [overlap(box, other) for other in true[picture]]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= 0.5 and (picture, best) not in taken:
            taken.add((picture, best))
            right += 1
        points.append((right / sum(map(len, true)), right / rank))
    area, before = 0.0, 0.0
    for recall in sorted({recall for recall, _ in points}):
        area += (recall - before) * max(precision for other, precision in points if other >= recall)
        before = recall
    return area


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_is_its_definition(seed: int) -> None:
    random = np.random.default_rng(seed)
    found, true = [], []
    for _ in range(6):
        there = random.uniform(0, 20, size=(random.integers(0, 4), 4))
        there[:, 2:] = there[:, :2] + random.uniform(2, 10, size=(len(there), 2))
        near = there.repeat(2, axis=0) + random.normal(0, 1.0, size=(2 * len(there), 4))
        wrong = random.uniform(0, 20, size=(2, 4))
        boxes = np.concatenate([near, wrong])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 0.5)
        found.append((boxes, random.uniform(size=len(boxes))))
        true.append(there)
    ours = average_precision(
        [(torch.from_numpy(boxes), torch.from_numpy(scores)) for boxes, scores in found],
        [torch.from_numpy(boxes) for boxes in true],
        0.5,
    )
    assert ours == pytest.approx(by_hand(found, true), abs=1e-6)


def test_perfect_boxes_score_one_and_none_nothing() -> None:
    _, boxes = squares(20)
    told = [each[each[:, 4].isfinite()] for each in boxes]
    perfect = [Found(each[:, :4], each[:, 4].long(), torch.ones(len(each))) for each in told]
    nothing = [Found(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0))] * 20
    assert mean_average_precision(perfect, list(boxes), 0.5) == 1.0
    assert mean_average_precision(nothing, list(boxes), 0.5) == 0.0
    assert math.isnan(mean_average_precision(nothing, [torch.full((2, 5), torch.nan)] * 20, 0.5))


def test_places_learn_the_smallest_object_near_whose_centre_they_lie() -> None:
    _, boxes = squares(30)
    head = _Head(torch.randn(30, CHANNELS, GRID, GRID), CLASSES, 4, (PX, PX))
    found = head.assigned(boxes)
    step = PX / GRID
    for picture, place in itertools.product(range(30), range(GRID * GRID)):
        x, y = (place % GRID + 0.5) * step, (place // GRID + 0.5) * step
        best, expected = math.inf, -1
        for which, (left, top, right, bottom, number) in enumerate(boxes[picture].tolist()):
            if math.isnan(number):
                continue
            away = max(abs(x - (left + right) / 2), abs(y - (top + bottom) / 2)) / step
            learns = away <= 0.5 or (away <= 1.5 and left < x < right and top < y < bottom)
            if learns and (right - left) * (bottom - top) < best:
                best, expected = (right - left) * (bottom - top), which
        assert found[picture, place] == expected


def test_detect_finds_squares_and_repeats() -> None:
    probe = Detect(width=32, epochs=1, min_steps=150, batch_size=16)
    train, test = told_of(probe)
    found = probe(train, test)
    assert found == probe(train, test)
    assert found["ap50"] > 0.5
    generator = torch.Generator().manual_seed(0)
    noise = [Features(torch.randn(part.x.shape, generator=generator), part.labels, part.size) for part in (train, test)]
    assert probe(*noise)["ap50"] < 0.2


def test_regions_and_outlines_are_scored_as_written() -> None:
    found, true = (torch.from_numpy(RANDOM.random((5, 15, 11)) < share) for share in (0.2, 0.3))
    found[0], true[0], found[1], true[2] = False, False, False, False
    reach = math.ceil(0.1 * math.hypot(15, 11))

    def edges(region: Tensor) -> list[tuple[int, int]]:
        cells = region.tolist()
        height, width = len(cells), len(cells[0])
        return [
            (y, x)
            for y, x in itertools.product(range(height), range(width))
            if any(
                cells[y][x] != cells[min(y + dy, height - 1)][min(x + dx, width - 1)]
                for dy, dx in ((0, 1), (1, 0), (1, 1))
            )
        ]

    def near(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> float:
        if not some:
            return 1.0
        hits = [any((y - v) ** 2 + (x - u) ** 2 <= reach**2 for v, u in others) for y, x in some]
        return sum(hits) / len(some)

    regions, outlines = jaccard(found, true), boundary_f(found, true, 0.1)
    for place in range(5):
        both, either = int((found & true)[place].sum()), int((found | true)[place].sum())
        assert regions[place] == pytest.approx(both / either if either else 1.0)
        ours, theirs = edges(found[place]), edges(true[place])
        precision, recall = near(ours, theirs), near(theirs, ours)
        expected = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        assert outlines[place] == pytest.approx(expected)


def test_an_object_smaller_than_a_place_is_found() -> None:
    """In a clip that stands still, where most of a place is background."""
    x = torch.randn(1, 1, CHANNELS, GRID, GRID, generator=torch.Generator().manual_seed(0)).expand(2, 3, -1, -1, -1)
    masks = torch.zeros(2, 3, PX, PX, dtype=torch.uint8)
    masks[:, :, 9:11, 13:15] = 1
    still = Features(x, masks, (PX, PX))
    assert Propagate()(still, still)["jaccard"] > 0.2
    shares = torch.tensor([[0.0, 0.1], [0.2, 0.05]]).expand(1, 2, 2, 2)
    torch.testing.assert_close(scaled(shares)[0, 0], torch.tensor([[0.0, 0.5], [1.0, 0.25]]))


def test_labels_are_carried_as_written() -> None:
    generator = torch.Generator().manual_seed(0)
    x, first = torch.randn(4, 5, 3, 4, generator=generator), torch.rand(2, 3, 4, generator=generator)
    carried = Propagation(neighbors=3, context=1, radius=1, temperature=0.2)(x, first)
    unit = F.normalize(x, dim=1)
    known = [first]
    for frame in range(1, 4):
        made = torch.zeros(2, 3, 4)
        seen = [0, *([frame - 1] if frame > 1 else [])]
        for y, x_ in itertools.product(range(3), range(4)):
            asked = []
            for other, v, u in itertools.product(seen, range(3), range(4)):
                if abs(y - v) <= 1 and abs(x_ - u) <= 1:
                    alike = float(unit[frame, :, y, x_] @ unit[other, :, v, u])
                    asked.append((alike, known[other][:, v, u]))
            asked.sort(key=lambda one: -one[0])
            weights = torch.tensor([alike for alike, _ in asked[:3]]).div(0.2).softmax(dim=0)
            made[:, y, x_] = sum(w * label for w, (_, label) in zip(weights, asked[:3], strict=True))
        known.append(made)
    torch.testing.assert_close(carried, torch.stack(known))


def test_what_moves_is_followed_and_of_noise_it_is_lost() -> None:
    x, masks, points = films(8, 3)
    exact = {"temperature": 0.001, "neighbors": 5}
    follows = Propagate(**exact)
    objects = follows(Features(x, masks, (PX, PX)), Features(x, masks, (PX, PX)))
    assert objects["jaccard"] > 0.9, "all but the corners, which upsampling rounds"
    assert objects["boundary"] > 0.95
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    assert follows(Features(noise, masks, (PX, PX)), Features(noise, masks, (PX, PX)))["jaccard"] < 0.5
    aims = Keypoints(near=0.05, **exact)
    assert aims(Features(x, points, (PX, PX)), Features(x, points, (PX, PX)))["pck"] > 0.9
    assert aims(Features(noise, points, (PX, PX)), Features(noise, points, (PX, PX)))["pck"] < 0.5
    unseen = torch.full_like(points, torch.nan)
    with pytest.raises(ValueError, match="no point is seen"):
        aims(Features(x, unseen, (PX, PX)), Features(x, unseen, (PX, PX)))


def test_a_point_goes_into_the_grid_and_comes_out_where_it_was() -> None:
    inside = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) * (PX - 4) + 2.0
    shares = on_grid(inside, (GRID, GRID), (PX, PX))
    torch.testing.assert_close(shares.sum(dim=(1, 2)), torch.ones(50))
    torch.testing.assert_close(located(shares[None], (PX, PX))[0], inside)


def test_frames_are_probed_one_by_one() -> None:
    train, test = told_of(Frames())

    def flat(sounds: Features, told: Tensor) -> Features:
        rows = [(x[:, t], label[t]) for x, label in zip(sounds.x, told, strict=True) for t in range(x.shape[1])]
        return Features(torch.stack([x for x, _ in rows]), torch.stack([label for _, label in rows]))

    whole = [part.labels[:, None].expand(-1, 5) for part in (train, test)]  # type: ignore[index]
    expected = Linear()(flat(train, whole[0]), flat(test, whole[1]))
    assert Frames()(train, test) == expected
    moments = [torch.stack([part.labels, 2 - part.labels], dim=1) for part in (train, test)]  # type: ignore[list-item, operator]
    halves = [told[:, [0, 0, 1, 1, 1]] for told in moments]
    given = [Features(part.x, told, part.size) for part, told in zip((train, test), moments, strict=True)]
    assert Frames()(*given) == Linear()(flat(train, halves[0]), flat(test, halves[1]))


def test_a_run_on_scenes_measures_masks_and_boxes_of_its_own_grid(processor: Processor) -> None:
    data = data_of(scenes())
    probes = (QUICK, Detect(width=16, epochs=1, min_steps=20), Linear())
    run = RunConfig(
        method=SimCLRConfig(views=two_views(Policy(ops=(Crop(),))), head=(16, 8)),
        encoder=ConvNetConfig(width=4),
        batch_size=16,
        precision="fp32",
        evaluation=EvaluationConfig(final=probes, follow=QUICK, tsne_images=0),  # type: ignore[arg-type]
    )
    check_built(run, data)
    method = build_method(run, data, processor)
    evaluation = Evaluation(run, data, processor)
    found = evaluation.final(method) | evaluation.untrained(method) | evaluation.follow(method)
    assert not list(evaluation.notes)
    scores = {"segment/miou", "segment/accuracy", "detect/ap50", "linear/top1"}
    expected = {f"{area}/{score}" for area in ("validation", "test", "untrained") for score in scores}
    expected |= {"segment/miou", "segment/accuracy"}
    measured = {name for name in found if not name.startswith("health/") and not name.endswith("/converged")}
    assert measured == expected == {name for name in protocols(run.evaluation, data) if "system" not in name}
    assert "encoder features in their places" in protocols(run.evaluation, data)["test/segment/miou"]
    read = [extract(grids(method)[""], getattr(data, split), processor, told="mask") for split in ("train", "test")]
    assert read[0].x.ndim == 4
    again = Evaluation(run, data, processor).final(method)
    assert again["test/segment/miou"] == found["test/segment/miou"] == QUICK(*read)["miou"]
