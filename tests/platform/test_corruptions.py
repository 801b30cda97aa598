"""Corruptions against their formulas, by other code; what is drawn is the same in any order and number."""

import colorsys

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import KNN, Corruption, Linear, Measurement, every, extract
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import build_method
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.platform.train.protocols import protocols

ROWS = torch.arange(6)
STEP = 1.0 / 255.0


@pytest.fixture(scope="module")
def emoji() -> Tensor:
    """Six pictures, float32 in [0, 1]."""
    return load(DataConfig(name="emoji")).train.tensor(ROWS, "image").float() / 255.0


@pytest.mark.parametrize("corruption", Corruption.all(), ids=lambda corruption: corruption.key)
def test_pictures_stay_pictures_and_rows_alone_decide(corruption: Corruption, emoji: Tensor) -> None:
    before = emoji.clone()
    made = corruption(emoji, ROWS)
    assert torch.equal(emoji, before)
    assert made.shape == emoji.shape
    assert made.min() >= 0.0
    assert made.max() <= 1.0
    whole = made * 255.0
    torch.testing.assert_close(whole, whole.round(), atol=1e-4, rtol=0.0)
    assert torch.equal(corruption(emoji[[4, 1]], ROWS[[4, 1]]), made[[4, 1]])
    assert not torch.equal(made, emoji)


@pytest.mark.parametrize("kind", ["noise", "blur", "contrast", "brightness", "pixelate"])
def test_a_severer_one_is_further_from_the_picture(kind: str, emoji: Tensor) -> None:
    away = [float((Corruption(kind=kind, severity=s)(emoji, ROWS) - emoji).square().mean()) for s in range(1, 6)]
    assert away == sorted(away)
    assert away[0] > 0.0


def test_noise_has_the_published_deviation() -> None:
    grey = torch.full((64, 3, 32, 32), 0.5)
    for severity, deviation in enumerate((0.08, 0.12), start=1):  # where next to nothing is clipped
        made = Corruption(kind="noise", severity=severity)(grey, torch.arange(64))
        assert float((made - grey).std()) == pytest.approx(deviation, rel=0.02)
        assert float((made - grey).mean()) == pytest.approx(0.0, abs=0.002)


def test_blur_is_scipys_gaussian(emoji: Tensor) -> None:
    for severity, radius in ((3, 0.7), (5, 1.0)):
        made = Corruption(kind="blur", severity=severity)(emoji, ROWS)
        theirs = gaussian_filter(emoji.double().numpy(), radius, mode="nearest", axes=(2, 3))
        np.testing.assert_allclose(made.numpy(), theirs, atol=0.6 * STEP)


def test_contrast_and_brightness_are_their_formulas(emoji: Tensor) -> None:
    pale, bright = (Corruption(kind=kind, severity=3)(emoji, ROWS) for kind in ("contrast", "brightness"))
    mean = emoji.double().mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(pale.double(), (emoji - mean) * 0.2 + mean, atol=0.51 * STEP, rtol=0.0)
    for picture, ours in zip(emoji[:2], bright, strict=False):
        for place in range(0, picture[0].numel(), 7):
            hue, saturation, value = colorsys.rgb_to_hsv(*picture.flatten(1)[:, place].tolist())
            expected = colorsys.hsv_to_rgb(hue, saturation, min(1.0, value + 0.3))
            np.testing.assert_allclose(ours.flatten(1)[:, place].numpy(), expected, atol=0.51 * STEP)


def test_pixelate_averages_areas_and_repeats_them(emoji: Tensor) -> None:
    made = Corruption(kind="pixelate", severity=4)(emoji, ROWS)
    px, few = emoji.shape[-1], int(emoji.shape[-1] * 0.3)
    fine = emoji.double().repeat_interleave(few, dim=2).repeat_interleave(few, dim=3)  # parts of a pixel
    coarse = fine.unflatten(3, (few, px)).mean(dim=4).unflatten(2, (few, px)).mean(dim=3)
    nearest = (torch.arange(px) + 0.5).mul(few / px).long()
    np.testing.assert_allclose(made.numpy(), coarse[:, :, nearest][:, :, :, nearest].numpy(), atol=0.51 * STEP)


def test_its_short_name_is_all_it_needs() -> None:
    given = Measurement.model_validate({"probe": {"name": "knn"}, "shown": "noise-3"})
    assert given.shown == Corruption(kind="noise", severity=3)
    assert given.key == "noise-3/knn"
    assert Measurement.model_validate_json(given.canonical_json()) == given
    with pytest.raises(ValueError, match=r"less than or equal to 5"):
        Corruption.model_validate("noise-6")
    with pytest.raises(ValueError, match=r"'noise', 'blur'"):
        Corruption.model_validate("fog-2")


def test_what_is_scored_is_corrupted_and_what_is_learned_from_is_clean(
    small_run: RunConfig, small_data: Data, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = Corruption(kind="noise", severity=5)
    run = small_run.with_field(
        "evaluation", EvaluationConfig(final=every((KNN(), Linear()), shown=(None, noise)), splits=("test",))
    )
    method = build_method(run, small_data, processor)
    fits: list[str] = []
    learn = Linear.learn
    monkeypatch.setattr(Linear, "learn", lambda self, train: fits.append("linear") or learn(self, train))
    found = Evaluation(run, small_data, processor).final(method)
    assert set(found) == {
        f"test/{shown}{score}"
        for shown in ("", "noise-5/")
        for score in ("knn/top1", "linear/top1", "linear/converged")
    }
    assert fits == ["linear"], "once, however it is scored"
    encoder = method.encoder.eval()
    train, test = (extract(encoder, getattr(small_data, split), processor) for split in ("train", "test"))
    noisy = extract(encoder, small_data.test, processor, shown=noise)
    assert not torch.equal(noisy.x, test.x)
    assert found["test/noise-5/knn/top1"] == KNN()(train, noisy)["top1"]
    assert found["test/knn/top1"] == KNN()(train, test)["top1"]
    how = protocols(run.evaluation, small_data)["test/noise-5/knn/top1"]
    assert "on test shown with noise of severity 5, encoder features, last epoch" in how


def test_a_corruption_of_what_is_followed_is_refused(small_run: RunConfig) -> None:
    with pytest.raises(UserError, match="noise-1/knn is not of clean validation pictures"):
        small_run.with_field("evaluation.follow", ({"probe": {"name": "knn"}, "shown": "noise-1"},))
