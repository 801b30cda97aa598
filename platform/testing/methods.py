"""What every method owes the engine, tried on the example in its own file."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unlabeled.platform.augment import Crop, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import extract
from unlabeled.platform.evaluate.layers import layers
from unlabeled.platform.method import Example, MethodConfig
from unlabeled.platform.processor import Processor
from unlabeled.platform.settings import Settings
from unlabeled.platform.testing.examples import assert_same, run_of
from unlabeled.platform.testing.partial import Partial
from unlabeled.platform.testing.training import TrainingSuite
from unlabeled.platform.train import trained
from unlabeled.platform.train.built import build_method, check_built, check_fits
from unlabeled.platform.train.cost import relative_cost
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.notes import Notes
from unlabeled.platform.train.pictures import draw_figures_of


class MethodSuite(TrainingSuite):
    """Tests of methods; derive a class whose name begins with Test, and set ``methods``.

    Attributes:
        methods: config classes, each of which is tried on its own ``example()``.
        in_parts: names of methods, or of an example's other settings ("moco, symmetric"), that two workers are also to
            train in micro-batches.
        python_options: of the two workers' Python; warnings are errors unless said otherwise.
    """

    # ---- what it is ------------------------------------------------------------------------------------------------

    def test_says_whose_it_is(self, config: type[MethodConfig], example: Example) -> None:
        assert config.family[config.name] is config
        assert config.paper
        assert type(example.method) is config
        assert all(type(other) is config for other in example.others.values())

    def test_builds_from_its_defaults(
        self, config: type[MethodConfig], example: Example, data: Data, cpu: Processor
    ) -> None:
        method = build_method(run_of(example, config.checked()), data, cpu)
        assert isinstance(method.encoder, Encoder)
        assert method.encoders()[""] is method.encoder
        assert all(isinstance(encoder, Encoder) for encoder in method.encoders().values())
        assert list(method.named_parameters())

    @pytest.mark.parametrize("small", [False, True])
    def test_survives_json(self, config: type[MethodConfig], example: Example, small: bool) -> None:
        run = run_of(example, example.method if small else config.checked())
        again = RunConfig.model_validate_json(run.canonical_json())
        assert again == run
        assert type(again.method) is config
        assert isinstance(again.method, Settings)
        assert again.canonical_json() == run.canonical_json()

    def test_its_weights_are_kept_whole(self, example: Example, data: Data, cpu: Processor, tmp_path: Path) -> None:
        run = run_of(example)
        method, other = (build_method(run.with_field("seed", seed), data, cpu) for seed in (0, 1))
        history = trained.History([{"train/loss": 1.0}], [], "", [], (1.0, 2.0), None)
        trained.save(method, run, data.format, history, tmp_path)
        assert trained.load(other, tmp_path) == history
        assert_same(method.state_dict(), other.state_dict())

    # ---- what it asks of the data, and shows of them -----------------------------------------------------------------

    def test_another_number_of_views_is_one_clear_line(
        self, config: type[MethodConfig], example: Example, data: Data
    ) -> None:
        count, plan = config.num_views, example.method.views
        if count is not None:
            more = plan.model_copy(update={"views": plan.views[:1] * (count + 1)})
            run = run_of(example, example.method.with_field("views", more))
            rule = f"{config.name} takes {count} views .* plan has {count + 1}; set method.v"
            with pytest.raises(UserError, match=rule):
                check_fits(run, data)

    def test_another_item_in_the_place_of_its_own_is_one_clear_line(
        self, config: type[MethodConfig], example: Example, data: Data
    ) -> None:
        if not config.takes_others:
            views = example.method.views.views
            turned = (views[0].model_copy(update={"of": 1}), *views[1:])
            plan = example.method.views.model_copy(update={"views": turned})
            run = run_of(example, example.method.with_field("views", plan))
            rule = f"^view 1 of method.views is of another item, and {config.name} takes views of one; set of=0"
            with pytest.raises(UserError, match=rule):
                check_fits(run, data)

    def test_views_that_are_seen_at_once_are_of_one_size(
        self, config: type[MethodConfig], example: Example, data: Data, cpu: Processor
    ) -> None:
        """Else it is one clear line, or the method takes them: never an error of torch."""
        plan = example.method.views
        px = example.encoder.patch_px if isinstance(example.encoder, ViTConfig) else 4
        if len(plan.views) < 2 or plan.views[-1].policy.of == "sound" or "image" not in plan.fields:
            return
        size = plan.views[-1].output_px(data.image_px) - px
        smaller = plan.views[-1].model_copy(update={"policy": plan.views[-1].policy.plus(Crop(size=size))})
        other = example.method.with_field("views", plan.model_copy(update={"views": (*plan.views[:-1], smaller)}))
        try:
            check_built(run := run_of(example, other), data)
        except UserError:
            return
        assert build_method(run, data, cpu)(Training(run, data, cpu).batch(0)).loss.isfinite()

    def test_what_it_is_told_has_to_be_there_and_nothing_else(
        self, config: type[MethodConfig], example: Example, data: Data
    ) -> None:
        run, plan = run_of(example), example.method.views
        beside = {field for stream in plan.streams.values() for field in _asked(stream.plan, stream.known)}
        for field in (set(data.pretrain.fields) | set(config.targets)) - set(plan.fields):
            lacking = replace(data, pretrain=Partial(data.pretrain, without=field))
            if field not in {*config.targets, *plan.targets, *beside}:
                check_fits(run, lacking)
                continue
            who = f"{config.name} needs" if field in config.targets else r"method\.views.*"
            rule = f"^{who} the field '{field}', and {data.name} has only "
            with pytest.raises(UserError, match=rule):
                check_fits(run, lacking)

    def test_every_item_has_what_is_needed(self, config: type[MethodConfig], example: Example, data: Data) -> None:
        run = run_of(example)
        for field in set(data.pretrain.fields) - set(run.method.views.fields):
            partly = replace(data, pretrain=Partial(data.pretrain, all_but_one_has=field))
            if field not in {*config.targets, *example.method.views.targets}:
                check_fits(run, partly)
                continue
            count = f"1 of the {len(data.pretrain)} items to train on of {data.name} have none; choose"
            with pytest.raises(UserError, match=f"the field '{field}', and {count}"):
                check_fits(run, partly)

    def test_a_batch_brings_what_it_is_told_and_no_more(
        self, config: type[MethodConfig], example: Example, data: Data, cpu: Processor
    ) -> None:
        batch = Training(run_of(example), data, cpu).batch(1)
        assert tuple(batch.targets) == (*config.targets, *example.method.views.targets)
        for field, told in batch.targets.items():
            if not data.pretrain.fields[field].of:  # what lies in a picture moves with its view
                expected = data.pretrain.read(batch.index, field)
                assert type(told) is type(expected)
                assert torch.equal(told, torch.as_tensor(expected)) if isinstance(told, Tensor) else told == expected

    def test_its_cost_is_what_it_says(self, config: type[MethodConfig], example: Example, data: Data) -> None:
        counted = relative_cost(run_of(example, batch_size=16), data)
        assert config.cost == pytest.approx(counted, abs=0.006), f"say cost = {counted:.2f}"

    def test_layers_make_features_of_items(self, example: Example, data: Data, cpu: Processor) -> None:
        method = build_method(run_of(example), data, cpu).eval()
        items = data.test.take(data.test.rows[:3])
        for name, layer in layers(method).items():
            x = extract(layer, items, cpu, field=data.field).x
            assert x.ndim == 2, name
            assert x.isfinite().all(), name

    def test_its_figures_are_drawn(self, example: Example, data: Data, cpu: Processor, tmp_path: Path) -> None:
        run, notes = run_of(example), Notes()
        method = build_method(run, data, cpu).train()
        before = {name: value.clone() for name, value in method.state_dict().items()}
        draw_figures_of(method, run, data, cpu, tmp_path, notes)
        assert not list(notes)
        assert method.training
        assert_same(before, method.state_dict())


def _asked(plan: ViewPlan, *more: str) -> set[str]:
    """Return the fields that a plan asks for."""
    return {*plan.fields, *plan.targets, *more}
