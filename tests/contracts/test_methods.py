"""What every method owes the engine, on the example in its own file; and what is particular about some."""

import pytest
import torch

from unlabeled.methods import METHODS
from unlabeled.platform.augment import View, ViewPlan
from unlabeled.platform.data import Data
from unlabeled.platform.errors import UserError
from unlabeled.platform.processor import Processor
from unlabeled.platform.testing import MethodSuite
from unlabeled.platform.testing.examples import run_of, settings_of
from unlabeled.platform.testing.training import TOLERANCE, vit_for
from unlabeled.platform.testing.worker import Results
from unlabeled.platform.train.built import check_fits
from unlabeled.platform.train.loaded import load_cached
from unlabeled.platform.train.loop import Training

SIMCLR, CLIP, MOCO = (METHODS[name].example() for name in ("simclr", "clip", "moco"))
VIEWS = SIMCLR.method.views


class TestMethods(MethodSuite):
    methods = tuple(METHODS.values())
    in_parts = ("simclr", "moco-v3", "swav, queue")

    @pytest.mark.parametrize("name", settings_of(MOCO))
    def test_the_queue_holds_the_keys_of_all_workers_in_order(
        self, name: str, alone: Results, together: list[Results]
    ) -> None:
        ours, theirs = alone[name]["first state"], together[0][name]["first state"]
        pushed = 128 if "symmetric" in name else 64
        assert int(ours["queue.oldest"]) == int(theirs["queue.oldest"]) == pushed
        assert len(ours["queue.keys"][:pushed].unique(dim=0)) == pushed, "keys differ, so their order shows"  # type: ignore[no-untyped-call]
        torch.testing.assert_close(theirs["queue.keys"], ours["queue.keys"], rtol=0.0, atol=TOLERANCE)


@pytest.mark.parametrize("name", METHODS)
def test_what_is_decayed_is_looked_at_with_a_vit_too(name: str) -> None:
    example = METHODS[name].example()
    if example.encoder.name in ("convnet", "vit"):
        assert vit_for(example, load_cached(example.data)) is not None


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            ViewPlan(views=(VIEWS.views[0], View(field="depth"))),
            r"^view 2 of method.views is of the field 'depth', and fashion-mnist-12k has only image, class; choose",
        ),
        (
            ViewPlan(views=(View(field="class"), VIEWS.views[0])),
            r"^view 1 of method.views is of the field 'class', which is no picture, clip or sound; take image$",
        ),
        (
            ViewPlan(views=VIEWS.views, targets=("text",)),
            r"^method.views asks for the field 'text', and fashion-mnist-12k has only image, class; .* as emoji$",
        ),
    ],
)
def test_a_plan_of_what_the_data_lack_is_one_clear_line(plan: ViewPlan, message: str, small_data: Data) -> None:
    with pytest.raises(UserError, match=message):
        check_fits(run_of(SIMCLR, SIMCLR.method.with_field("views", plan)), small_data)


def test_a_plan_may_ask_for_more_than_the_method_needs(processor: Processor) -> None:
    run = run_of(CLIP, CLIP.method.with_field("views.targets", ("class", "text")))
    training = Training(run, load_cached(run.data), processor)
    assert list(training.batch(0).targets) == ["text", "class"]
    assert run.method.views.targets == ("class", "text"), "as it was declared"
