"""How every method trains: what it owes the loop, tried on the example in its own file."""

import contextlib
import copy
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import ConvNetConfig, Encoder, EncoderConfig, StandardisingEncoder, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import KNN, Features, deviation, extract
from unlabeled.platform.method import Example, Method, MethodConfig
from unlabeled.platform.metrics import AREAS
from unlabeled.platform.optim import SGD
from unlabeled.platform.processor import Processor
from unlabeled.platform.testing.examples import assert_same, distance, learning_run, run_of, settings_of
from unlabeled.platform.testing.gpu_steps import take_steps
from unlabeled.platform.testing.remembered import Remembered, remembered
from unlabeled.platform.testing.worker import Results, results, results_of_two
from unlabeled.platform.train.built import check_built
from unlabeled.platform.train.loaded import data_of
from unlabeled.platform.train.loop import Training

_IN_PARTS = "in micro-batches"  # with batch norm, whose micro-batches must be the same on any number of workers
_VITS = tuple(ViTConfig(width=8, depth=1, patch_px=px) for px in (4, 7))
TOLERANCE = 1e-10  # of float64 on two workers, steps later too, relative to the largest value of each tensor
_STEPS = 4  # of theirs: a queue is full, and what was wrong at one step shows in the weights of the next


class TrainingSuite:
    """Tests of how methods train; a part of the suite of methods, see there.

    Attributes:
        methods: config classes, each of which is tried on its own ``example()``.
        in_parts: names of methods, or of an example's other settings ("moco, symmetric"), that two workers are also to
            train in micro-batches.
        python_options: of the two workers' Python; warnings are errors unless said otherwise.
    """

    methods: ClassVar[Sequence[type[MethodConfig]]] = ()
    in_parts: ClassVar[Sequence[str]] = ()
    python_options: ClassVar[Sequence[str]] = ("-W", "error")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test on each method, or on each of its settings."""
        if "config" in metafunc.fixturenames:
            metafunc.parametrize("config", self.methods, ids=[config.name for config in self.methods])
        if "compared" in metafunc.fixturenames:
            metafunc.parametrize("compared", _compared(self.methods, self.in_parts))

    @pytest.fixture
    def example(self, config: type[MethodConfig]) -> Example:
        """The method's example."""
        return config.example()

    @pytest.fixture
    def data(self, example: Example) -> Data:
        """The example's items, made once for all tests of it."""
        return remembered(run_of(example))

    @pytest.fixture
    def cpu(self) -> Processor:
        """This machine's CPU, computing in float32."""
        return Processor(torch.device("cpu"), "fp32")

    # ---- how it learns ---------------------------------------------------------------------------------------------

    def test_gradients_reach_every_trainable_parameter_and_no_frozen_one(
        self, example: Example, data: Data, cpu: Processor
    ) -> None:
        training = Training(run_of(example), data, cpu)
        result = training.method.train()(training.batch(0))
        assert result.loss.shape == ()
        assert result.loss.isfinite()
        result.loss.backward()
        for path, parameter in training.method.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, path
                assert parameter.grad.isfinite().all(), path
                assert parameter.grad.abs().max() > 0.0, path
            else:
                assert parameter.grad is None, path
        for name, encoder in training.method.encoders().items():
            assert any(parameter.requires_grad for parameter in encoder.parameters()), name

    def test_what_is_decayed_is_weights_alone(self, example: Example, data: Data) -> None:
        """Weights of layers that multiply, and what the example says, with the example's encoder and with a ViT."""
        for encoder in (example.encoder, vit_for(example, data)):
            if encoder is not None:
                run = run_of(example, encoder=encoder, batch_size=32)
                _check_decayed(check_built(run, data), run, example.decays)

    def test_its_groups_hold_what_they_say(self, example: Example, data: Data) -> None:
        method = check_built(run_of(example), data)
        built = SGD().build(method, method.groups()).param_groups
        held = [id(parameter) for group in built for parameter in group["params"]]
        assert sorted(held) == sorted(id(p) for p in method.parameters() if p.requires_grad)

    def test_logs_are_detached_scalars_named_area_slash_name(
        self, example: Example, data: Data, cpu: Processor
    ) -> None:
        training = Training(run_of(example), data, cpu)
        for key, value in training.method.train()(training.batch(0)).logs.items():
            area, _, what = key.partition("/")
            assert area.isidentifier(), key
            assert what.isidentifier(), key
            assert area not in AREAS, f"{key} is the engine's"
            assert value.shape == (), key
            assert not value.requires_grad, key
            assert value.isfinite(), key

    def test_the_seed_decides_everything(self, example: Example, data: Data, cpu: Processor) -> None:
        states = []
        for seed in (0, 0, 1):
            training = Training(run_of(example, seed=seed, epochs=1), data, cpu)
            torch.rand(3)  # what else used torch's generator must not matter
            for _ in itertools.islice(training.steps(), 2):
                pass
            states.append(training.method.state_dict())
        assert_same(states[0], states[1])
        given = {  # by the data
            f"{path}.{name}"
            for path, part in training.method.named_modules()
            if isinstance(part, StandardisingEncoder)
            for name in ("mean", "std")
        }
        assert given
        assert given <= states[0].keys()
        moved = [path for path, value in states[0].items() if value.is_floating_point() and path not in given]
        assert not any(torch.equal(states[0][path], states[2][path]) for path in moved)

    def test_resumed_equals_uninterrupted_bitwise(self, example: Example, data: Data, cpu: Processor) -> None:
        """From within an epoch, and from its end."""
        whole = Training(run_of(example), data, cpu)
        stops = {whole.steps_per_epoch - 1: io.BytesIO(), whole.steps_per_epoch: io.BytesIO()}
        for step in whole.steps():
            if step in stops:
                torch.save(whole.state(), stops[step])
        assert whole.step == whole.total_steps > max(stops)
        for buffer in stops.values():
            resumed = Training(run_of(example), data, cpu)
            resumed.restore(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
            for _ in resumed.steps():
                pass
            assert resumed.step == whole.step
            assert_same(whole.state(), resumed.state())
        state_names = set(whole.method.state_dict())
        held = {name for name, _ in [*whole.method.named_parameters(), *whole.method.named_buffers()]}
        assert held == state_names, "everything that a method keeps is in its checkpoint"

    def test_learns_from_real_items_without_collapse(self, example: Example, cpu: Processor) -> None:
        """Bounds are about half of what the worst of three seeds did: loss down 10 %, kNN up 0.02, deviation 0.24.

        Of a collapse the deviation is 0, and of an encoder that is not trained kNN stays. By another seed, or another
        processor's rounding, the gain differs by some 0.02; by the items that kNN asks of, less than 0.01, because it
        asks of all that it doesn't know.
        """
        run = learning_run(example)
        data = data_of(run)
        data = replace(data, pretrain=Remembered(data.pretrain))
        asked = example.tells_classes and "class" in data.test.fields

        def features(*encoders: Encoder) -> list[Features]:
            if not asked:
                return [extract(encoder, data.test, cpu, 256, field=data.field) for encoder in encoders]
            parts: list[list[Features]] = [[] for _ in encoders]
            for split in (data.train, data.validation, data.test):
                for rows in torch.split(split.rows, 64):  # larger pieces of memory are given back, and asked for again
                    few = Remembered(split.take(rows))
                    for found, encoder in zip(parts, encoders, strict=True):
                        found.append(extract(encoder, few, cpu, field=data.field))
            return [
                Features(
                    torch.cat([part.x for part in found]),
                    torch.cat([part.labels for part in found if part.labels is not None]),
                )
                for found in parts
            ]

        def knn(found: Features) -> float:
            few = torch.arange(500)  # few labels: what is learned without them counts
            return KNN()(found.take(few), found.take(torch.arange(len(few), len(found))))["top1"]

        training = Training(run, data, cpu)
        start = copy.deepcopy(training.method.encoder)
        losses = [epoch["train/loss"] for epoch in training.epochs()]
        before, after = features(start, training.method.encoder)
        assert example.adversarial or losses[-1] < 0.95 * losses[0]
        assert deviation(after.x) > 0.12
        assert not asked or knn(after) > knn(before) + 0.01

    def test_a_step_on_a_gpu_waits_for_nothing(self, example: Example, data: Data) -> None:
        """On this machine's, or where there is none, on one that is pretended."""
        taken = take_steps(run_of(example), data)
        assert all(each.grad is not None for each in taken.method.parameters() if each.requires_grad)

    # ---- two workers equal one ---------------------------------------------------------------------------------------

    @pytest.fixture(scope="class")
    @classmethod
    def runs(cls) -> dict[str, RunConfig]:
        """Some steps of each method, under each of its settings."""
        return dict(_runs(cls.methods, cls.in_parts))

    @pytest.fixture(scope="class")
    @classmethod
    def alone(cls, runs: dict[str, RunConfig]) -> Results:
        """What one worker makes of them, whose items are made once for all settings."""
        return results(runs, data_of=remembered)

    @pytest.fixture(scope="class")
    @classmethod
    def together(cls, runs: dict[str, RunConfig], tmp_path_factory: pytest.TempPathFactory) -> list[Results]:
        """What two make of them, started once for all."""
        return results_of_two(runs, tmp_path_factory.mktemp("workers"), cls.python_options)

    @pytest.mark.parametrize("what", ["first loss", "first gradient", "first state", "last state", "logs"])
    def test_two_workers_equal_one(self, compared: str, what: str, alone: Results, together: list[Results]) -> None:
        """The engine's own loop, its views, its optimiser; with batch norm over all workers, or over groups of them."""
        # A state may be 0 but for rounding (a mean that batch norm took away); a gradient of it alone is a mistake.
        zero = 1e-30 if what == "first gradient" else 1e-5
        off = distance(together[0][compared][what], alone[compared][what], zero)
        assert off, "nothing to compare"
        assert not {path: error for path, error in off.items() if not error <= TOLERANCE}

    def test_both_workers_hold_the_same_state(self, compared: str, together: list[Results]) -> None:
        """Weights, running statistics, momentum copies and queues, bitwise."""
        assert_same(together[0][compared], together[1][compared])


def _compared(methods: Sequence[type[MethodConfig]], in_parts: Sequence[str]) -> list[str]:
    names = [name for config in methods for name in settings_of(config.example())]
    assert set(in_parts) <= set(names), f"in_parts names what there is not: {set(in_parts) - set(names)}"
    return [*names, *(f"{name}, {_IN_PARTS}" for name in in_parts)]


def _runs(methods: Sequence[type[MethodConfig]], in_parts: Sequence[str]) -> Iterator[tuple[str, RunConfig]]:
    for config in methods:
        example = config.example()
        data = example.data.with_field("train_images", _STEPS * example.batch_size)
        for name, method in settings_of(example).items():
            run = run_of(example, method, data=data, epochs=1, optimizer=SGD(learning_rate=0.1))
            yield name, run
            if name in in_parts:
                yield f"{name}, {_IN_PARTS}", run.with_field("micro_batch", run.batch_size // 4)


def vit_for(example: Example, data: Data) -> EncoderConfig | None:
    """Return a small ViT that the example's method can train in the place of its encoder of pictures, if one fits."""
    if isinstance(example.encoder, ConvNetConfig | ViTConfig):
        for encoder in _VITS:
            with contextlib.suppress(UserError):
                check_built(run_of(example, encoder=encoder), data)
                return encoder
    return None


def _check_decayed(method: Method, run: RunConfig, decays: Sequence[str]) -> None:
    names = {id(parameter): path for path, parameter in method.named_parameters() if parameter.requires_grad}
    decayed, spared = ([id(p) for p in group["params"]] for group in run.optimizer.build(method).param_groups)
    weights = {
        path
        for number, path in names.items()
        if path in decays or (method.get_parameter(path).ndim > 1 and path.rpartition(".")[2].startswith("weight"))
    }
    assert {names[each] for each in decayed} == weights, "spare the others by no_weight_decay(), or say so in decays"
    assert sorted([*decayed, *spared]) == sorted(names)
    if isinstance(run.encoder, ViTConfig):
        assert any("pos_embed" in names[each] for each in spared)
        assert any("cls_token" in names[each] for each in spared)
