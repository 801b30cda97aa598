"""Between epochs a method sees what a module makes of every item: in order, clean, alike on any number of workers."""

import io
import runpy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unlabeled.platform.data import DataConfig, load
from unlabeled.platform.testing.processes import run_together
from unlabeled.platform.train.loop import NonFiniteLossError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("survey_worker.py")
WORKER = runpy.run_path(str(SCRIPT))
Results = dict[str, Tensor]


@pytest.fixture(scope="module")
def alone() -> Results:
    results: Results = WORKER["results"]()
    return results


def test_features_are_of_clean_items_in_the_order_of_their_index(alone: Results) -> None:
    items = load(DataConfig(train_images=WORKER["N"])).pretrain
    pixels = items.tensor(items.rows, "image").double() / 255.0
    expected = torch.cat([pixels.mean(dim=(1, 2, 3))[:, None], pixels[:, 0, 14, 8:16]], dim=1)
    torch.testing.assert_close(alone["read"], expected, rtol=0.0, atol=1e-6)  # pixels are made in float32


def test_what_a_method_sees_is_of_its_weights_at_the_start_of_the_epoch(alone: Results) -> None:
    training = WORKER["training"]()
    items, encoder = training.data.pretrain, training.method.encoder
    pixels = items.tensor(items.rows, "image").float().div(255.0).double()
    with torch.no_grad():
        expected = encoder.eval()(pixels)
    torch.testing.assert_close(alone["goals 6"], expected, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(alone["goals 12"], expected, rtol=1e-3)
    assert alone["chosen 6"] != alone["chosen 12"], "each epoch has draws of its own"


def test_two_workers_see_what_one_does(alone: Results, tmp_path: Path) -> None:
    run_together([("-W", "error", SCRIPT, i, tmp_path) for i in range(2)])
    first, second = (torch.load(tmp_path / f"{i}.pt") for i in range(2))
    assert first.keys() == second.keys() == alone.keys()
    assert all(torch.equal(first[name], second[name]) for name in first), "the same on all workers, bitwise"
    for name in ("read", "goals 6", "chosen 6", "chosen 12"):
        assert torch.equal(first[name], alone[name]), f"{name}: of equal weights, bitwise what one worker sees"
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("stop", [4, 6, 9])  # within the first epoch, at its end, within the second
def test_resumed_equals_uninterrupted_and_looks_once_an_epoch(stop: int) -> None:
    whole, resumed = WORKER["training"](), WORKER["training"]()
    buffer = io.BytesIO()
    for step in whole.steps():
        if step == stop:
            torch.save(whole.state(), buffer)
    buffer.seek(0)
    resumed.restore(torch.load(buffer, weights_only=True))
    for _ in resumed.steps():
        pass
    ours, theirs = whole.method.state_dict(), resumed.method.state_dict()
    assert ours["visits"] == 2
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_features_that_are_not_finite_end_the_run() -> None:
    training = WORKER["training"]()
    with torch.no_grad():
        next(training.method.encoder.parameters()).fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match=r"^before epoch 1, features are not finite; lower optimizer"):
        next(training.steps())


def test_chance_between_epochs_is_keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    training = WORKER["training"]()
    monkeypatch.setattr(training.method, "before_epoch", lambda epoch, survey: torch.rand(3))
    with pytest.raises(Exception, match=r"^test-towards drew from torch's generator while it trained"):
        next(training.steps())
