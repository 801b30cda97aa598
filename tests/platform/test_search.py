"""Searches as values, and on their way: driven here in this process, run by run, without Ray."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from rich.console import Console

from unlabeled.dashboards import frames
from unlabeled.methods.contrastive.moco import MoCoConfig
from unlabeled.platform.augment import ColorJitter, Crop, Flip, GaussianBlur, GaussianNoise
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.drive.recorder import Recorder
from unlabeled.platform.drive.sweep import OVER
from unlabeled.platform.errors import UserError
from unlabeled.platform.search import (
    Choice,
    Composition,
    Constraint,
    Integer,
    LogUniform,
    Objective,
    Part,
    Search,
    Uniform,
    strengthened,
)
from unlabeled.platform.search.built import read_back
from unlabeled.platform.search.course import Course
from unlabeled.platform.search.memory import Memory, only_driver
from unlabeled.platform.search.recording import SearchDisplay, SearchRecorder
from unlabeled.platform.search.summary import summary, write
from unlabeled.platform.track import Store
from unlabeled.platform.train.events import EpochDone, Event, Failed, Finished, Started
from unlabeled.platform.train.loaded import load_cached
from unlabeled.platform.train.protocols import protocols

SPACE = {"method.temperature": LogUniform(low=0.05, high=1.0), "batch_size": Choice(values=(32, 64, 128))}


def declare(small_run: RunConfig, **fields: Any) -> Search:
    given = {
        "name": "small",
        "question": "Which temperature?",
        "source": "a paper",
        "expected": "a trend",
        "cost": "little",
        "profiles": {"laptop": small_run},
        "space": SPACE,
        "trials": 4,
        "best": 2,
        "further_seeds": 2,
    }
    return Search.checked(**{**given, **fields})


class Hand:
    """Drives a search by hand: each run answers with made-up events, or is really trained."""

    def __init__(self, search: Search, home: Path, score: Callable[[RunConfig], float], **memory: Any) -> None:
        base = search.base("laptop")
        checksum = load_cached(base.data).checksum
        self.score, self.trained = score, list[tuple[RunConfig, int]]()
        self.memory = Memory(search, base, checksum, home, trials=search.trials, **memory)
        recorder = SearchRecorder(base, home, Store(home).open_study(search.record("laptop")))
        self.screen = io.StringIO()
        display = SearchDisplay(0, search.objective.metric, Console(file=self.screen, width=200))
        self.course = Course(search, base, self.memory, recorder, display, trials=search.trials)

    def run(self, at_most: int | None = None, max_concurrent: int = 2) -> "Hand":
        """Do runs, two side by side, until the search is over, or leave those under way alone after ``at_most``."""
        under_way: list[int] = []
        began = 0
        with self.course.recorder:
            while (number := self.course.next() if len(under_way) < max_concurrent else None) != OVER:
                if number is None:
                    self.pretend(under_way.pop(0))
                    continue
                began += 1
                under_way.append(number)
                if began == at_most:
                    self.take(number, Started({}, 0, []))
                    self.course.recorder.interrupt()
                    break
        return self

    def take(self, number: int, event: Event) -> bool:
        """Hand an event on as Tune does: first whether to stop, then what happened."""
        stops = self.course.stops(number, event)
        self.course.take(number, event)
        return stops

    def pretend(self, number: int) -> None:
        """Act as a run whose kNN follows its score from far below."""
        run = self.course.recorder.planned[number].config
        self.take(number, Started({}, 0, []))
        try:
            score = self.score(run)
        except ArithmeticError as error:
            self.take(number, Failed(str(error)))
            return
        for epoch in range(1, run.epochs + 1):
            reached = score - 0.3 * (1 - epoch / run.epochs)
            if self.take(number, EpochDone(epoch, {"knn/top1": reached, "train/loss": 1.0})):
                self.trained.append((run, epoch))
                return
        self.trained.append((run, run.epochs))
        files = self.course.recorder.home / "files"
        files.mkdir(exist_ok=True)
        splits = {f"{split}/linear/top1": score for split in run.evaluation.splits}
        self.take(number, Finished({**splits, "system/wall_seconds": 1.0, "system/cpu_seconds": 1 / score}, files))

    def sampled(self) -> list[float]:
        """Return the temperatures of the trials, in order."""
        return [trial.params["method.temperature"] for trial in self.memory.trained()]


def near_02(run: RunConfig) -> float:
    """Score a run by its temperature: 0.2 is best; seeds move it a little."""
    return 0.8 - abs(run.method.temperature - 0.2) / 4 + 0.001 * (run.seed % 3)  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def longer(small_run: RunConfig) -> RunConfig:
    """Eight epochs: enough for ASHA's rungs at 1, 2 and 4."""
    return small_run.with_field("epochs", 8)


def warm(run: RunConfig) -> bool:
    return run.method.temperature >= 0.5  # type: ignore[attr-defined]


def never(run: RunConfig) -> bool:
    return False


WARM = Constraint(sentence="The temperature is at least 0.5.", holds=warm)
BLUR = Part(op=GaussianBlur(), vary={"strength": Uniform(low=0.5, high=2.0), "p": Uniform(low=0.1, high=0.9)})
JITTER = Part(op=ColorJitter(), vary={"strength": Uniform(low=0.1, high=1.0)}, optional=False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"space": {}}, "space is empty: a search varies at least one field"),
        ({"space": {"method.temprature": Uniform(low=0.1, high=1)}}, r"'temprature'; did you mean 'temperature'\?"),
        (
            {"space": {"method.temperature": Uniform(low=-0.1, high=1)}},
            r"method\.temperature: .*greater than 0, got -0\.1",
        ),
        ({"space": {"batch_size": Integer(low=1, high=64)}}, r"batch_size: .*greater than or equal to 2, got 1"),
        ({"space": {"batch_size": Choice(values=(64, "many"))}}, r"batch_size: .*integer.*, got 'many'"),
        ({"space": {"optimizer.momentum": Uniform(low=0.5, high=0.9)}}, "no field of AdamW is called 'momentum'"),
        ({"space": {"seed": Integer(low=0, high=9)}}, "seed can't be searched: the best points are repeated"),
        ({"space": {"data.train_images": Integer(low=64, high=128)}}, "data.train_images can't be searched: scores on"),
        ({"space": {"evaluation.every_epochs": Integer(low=1, high=2)}}, "evaluation.every_epochs can't be searched"),
        (
            {"space": {"optimizer.name": Choice(values=("sgd", "adamw")), "optimizer": Choice(values=("a", "b"))}},
            "optimizer.name and optimizer set the same field",
        ),
        (
            {"objective": Objective(metric="test/linear/top1")},
            "objective by test/linear/top1 is refused: the test split",
        ),
        ({"objective": Objective(metric="untrained/knn/top1")}, "untrained/knn/top1 is refused"),
        (
            {"objective": Objective(metric="train/loss")},
            "refused: a loss changes its scale with temperature, batch size",
        ),
        ({"objective": Objective(metric="validation/liner/top1")}, "did you mean 'validation/linear/top1'"),
        ({"prune_on": "train/loss"}, "pruning by train/loss is refused: a loss changes its scale"),
        ({"prune_on": "test/knn/top1"}, "pruning by test/knn/top1 is refused: the test split"),
        ({"prune_on": "knn/top2"}, r"no metric to prune on is called 'knn/top2'; did you mean 'knn/top1'\?"),
        ({"second": Objective(metric="validation/linear/top1")}, "both objectives are validation/linear/top1"),
        ({"best": 0}, "best 0 over 2 further seeds repeats nothing"),
        ({"trials": 0}, "trials: .*greater than or equal to 1, got 0"),
    ],
)
def test_a_search_is_checked_when_declared(small_run: RunConfig, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        declare(small_run, **fields)


@pytest.mark.parametrize(
    ("dimension", "fields", "message"),
    [
        (Uniform, {"low": 1.0, "high": 0.5}, "goes from low to high and has more than one value, got 1 to 0.5"),
        (Uniform, {"low": 0.0, "high": 1.0, "step": 0.3}, "ends on a step, got 0 to 1 in steps of 0.3; end it at 0.9"),
        (LogUniform, {"low": 0.0, "high": 1.0}, "low: .*greater than 0, got 0"),
        (Integer, {"low": 2, "high": 10, "step": 2, "log": True}, "logarithmic integer starts at 1 or more and has no"),
        (Choice, {"values": (1,)}, "values: .*at least 2 items"),
        (Choice, {"values": ((8,), (8,))}, r"must differ from each other, got \[8\] or \[8\]"),
        (Composition, {"parts": (BLUR, BLUR)}, "one part for each operation, got gaussian_blur, gaussian_blur"),
        (Composition, {"parts": (Part(op=Flip(), optional=False),)}, "a composition varies something"),
        (
            Composition,
            {"parts": (Part(op=Flip(), vary={"strength": Uniform(low=0.1, high=1)}),)},
            "flip: strength 0.1: flip has no strength; vary its p",
        ),
        (
            Composition,
            {"parts": (Part(op=Crop(), vary={"strength": Uniform(low=0.5, high=1.0)}),)},
            r"crop: strength 1\.0: area\.0: .*greater than 0, got 0\.0",
        ),
        (
            Composition,
            {"parts": (Part(op=ColorJitter(), vary={"p": Uniform(low=0.5, high=1.5)}),)},
            r"color_jitter: p: .*less than or equal to 1, got 1\.5",
        ),
        (
            Composition,
            {"parts": (Part(op=ColorJitter(), vary={"hew": Uniform(low=0.1, high=0.2)}),)},
            r"'hew'; did you mean 'hue'\?",
        ),
    ],
)
def test_a_dimension_is_checked_when_declared(dimension: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dimension.checked(**fields)


@pytest.mark.parametrize(
    ("profile", "changes", "message"),
    [
        ("laptpo", {}, r"no profile of small is called 'laptpo'; did you mean 'laptop'\?"),
        ("laptop", {"batch_size": 32}, "batch_size is what small searches, so setting batch_size would be ignored"),
        ("laptop", {"method.name": "moco", "epochs": 3}, ""),
        ("laptop", {"method": {"name": "simclr"}}, "method.temperature is what small searches, so setting method"),
        ("laptop", {"evaluation.follow": ()}, "no metric to prune on is called 'knn/top1'"),
    ],
)
def test_a_wrong_base_is_one_clear_line(
    small_run: RunConfig, profile: str, changes: dict[str, Any], message: str
) -> None:
    search = declare(small_run)
    if not message:
        assert search.base(profile, changes).epochs == 3
        return
    with pytest.raises(UserError, match=message):
        search.base(profile, changes)


def test_a_composition_is_drawn_with_readable_names(small_run: RunConfig) -> None:
    space = Composition(parts=(Part(op=Crop(), vary={"strength": Uniform(low=0.1, high=0.9)}), JITTER, BLUR))
    assert space.parameters("method.views") == (
        *("views.crop", "views.crop.strength", "views.color_jitter.strength"),
        *("views.gaussian_blur", "views.gaussian_blur.strength", "views.gaussian_blur.p"),
    )
    point = {
        "views.crop": True,
        "views.crop.strength": 0.75,
        "views.color_jitter.strength": 0.5,
        "views.gaussian_blur": False,
    }
    trial = optuna.trial.FixedTrial(point)
    plan = space.draw("method.views", trial)
    jitter = ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    assert plan.views == 2 * (plan.views[0],)
    assert plan.views[0].policy.ops == (Crop(area=(0.25, 1.0)), jitter)
    assert trial.params == point, "what is left out has no strength"
    assert (
        space.draw("views", optuna.trial.FixedTrial({**point, "views.crop": False})).summary
        == f"2 x [{jitter.summary}]"
    )


def test_strength_is_one_number_for_each_operation() -> None:
    assert strengthened(Crop(), 0.8).model_dump()["area"] == pytest.approx((0.2, 1.0))
    assert strengthened(GaussianBlur(), 1.5) == GaussianBlur(sigma=(0.1, 1.5))
    assert strengthened(GaussianNoise(), 0.3) == GaussianNoise(sigma=0.3)
    assert strengthened(ColorJitter(p=0.3), 1.0) == ColorJitter(p=0.3)


def test_values_arrive_in_what_is_built(small_run: RunConfig, small_data: Data) -> None:
    moco = MoCoConfig(head=(16, 8), queue=128, bn_groups=1, shuffle_bn=False)
    point = {
        "method.momentum": 0.97,
        "method.temperature": 0.3,
        "method.head": (24, 12),
        "optimizer.learning_rate": 0.01,
    }
    run = small_run.with_field("method", moco)
    for path, value in point.items():
        run = run.with_field(path, value)
    views = run.method.views
    assert read_back(run, {**point, "batch_size": 64, "method.views": views}, small_data) == {
        **point,
        "batch_size": 64,
        "method.views": views,
    }


def test_a_value_that_does_not_arrive_is_found(
    small_run: RunConfig, small_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(small_run.method)
    build = kind.build
    monkeypatch.setattr(kind, "build", lambda self, encoder, data: build(kind(), encoder, data))
    with pytest.raises(UserError, match=r"method\.temperature was to be 0\.2, but what is built has 0\.1"):
        read_back(small_run, {"method.temperature": 0.2}, small_data)
    with pytest.raises(UserError, match=r"method\.head was to be \(32, 16\), but what is built has \(2048, 128\)"):
        read_back(small_run, {"method.head": (32, 16)}, small_data)


def test_validation_alone_is_measured_where_splits_say_so(small_run: RunConfig, small_data: Data) -> None:
    run = small_run.with_field("evaluation.splits", ("validation",))
    how = protocols(run.evaluation, small_data)
    assert not [metric for metric in how if metric.startswith(("test/", "untrained/"))]
    assert "validation/linear/top1" in how


def test_a_search_names_its_winner_before_it_looks_at_test(longer: RunConfig, home: Path) -> None:
    hand = Hand(declare(longer, trials=12), home, near_02).run()
    course = hand.course
    runs = frames.runs("small", home)
    trials, repeats, tests = (runs[runs["search.stage"] == stage] for stage in ("trial", "repeat", "test"))
    assert len(trials) == 12
    assert not trials["test/linear/top1"].any()
    assert not repeats["test/linear/top1"].any()
    assert sorted(tests["row"]) == ["default", "default", "winner", "winner"]
    assert tests["test/linear/top1"].notna().all()
    assert sorted(tests.groupby("seed")["row"].apply(sorted)) == 2 * [["default", "winner"]], "paired by seed"
    assert (set(repeats["seed"]), set(tests["seed"])) == ({1, 2}, {3, 4}), "what chose does not measure"
    assert (trials["sampled.method.temperature"] == trials["built.method.temperature"]).all()
    assert (trials["sampled.method.temperature"] == trials["method.temperature"]).all()
    assert course.winner == max(course.contenders, key=lambda contender: contender.mean).trial
    means = repeats.groupby("search.trial")["validation/linear/top1"].mean()
    assert means.idxmax() == course.winner
    assert means.max() == pytest.approx(course.contenders[0].mean)
    files = write(course, "laptop")
    assert files.winner is not None
    winner = RunConfig.model_validate_json(files.winner.read_bytes())
    assert winner.evaluation == longer.evaluation
    assert winner.seed == longer.seed
    assert winner.method == next(
        run.method for run, _ in hand.trained if run.seed == 3 and "test" in run.evaluation.splits
    )
    found = json.loads(files.search.read_text())
    assert found["winner"] == course.winner
    assert found["tested"]["winner"]["3"]["test/linear/top1"] > 0.7
    first = tests[tests["row"] == "winner"].iloc[0]
    copy = Store(home).artifact(first["run_id"], "winner.json")
    assert copy is not None
    assert copy.read_text() == files.winner.read_text()


def test_hopeless_trials_end_early_and_say_so(longer: RunConfig, home: Path) -> None:
    hand = Hand(declare(longer, trials=12, best=0, further_seeds=0), home, near_02).run()
    runs = frames.runs("small", home)
    trials = runs[runs["search.stage"] == "trial"]
    pruned = trials[trials["status"] == "KILLED"]
    assert 4 <= len(pruned) < 12
    for run in pruned.itertuples():
        assert run.reason == f"pruned after epoch {trials.loc[run.Index, 'search/pruned_epoch']:.0f}"
    assert set(pruned["search/pruned_epoch"]) <= {1, 2, 4}
    epochs = [epochs for _, epochs in hand.trained[:12]]
    assert sorted(epochs)[: len(pruned)] == sorted(pruned["search/pruned_epoch"])
    assert sum(epochs) < 12 * 8 * 2 / 3
    said = hand.screen.getvalue()
    assert "pruned after epoch 1; best so far " in said
    assert not list(home.glob(f"work/{pruned['fingerprint'].iloc[0]}"))
    kept = Hand(declare(longer, name="other", trials=6, best=0, further_seeds=0), home, near_02, pruner="none").run()
    assert {epochs for _, epochs in kept.trained} == {8}


def test_points_that_break_a_rule_are_never_trained_and_teach_the_sampler(small_run: RunConfig, home: Path) -> None:
    search = declare(small_run, trials=30, best=0, further_seeds=0, constraints=(WARM,))
    hand = Hand(search, home, near_02, pruner="none").run(max_concurrent=1)
    assert len(hand.sampled()) == 30
    assert min(hand.sampled()) >= 0.5
    rejected = [trial for trial in hand.memory.all() if "rejected" in trial.user_attrs]
    assert rejected
    for trial in rejected:
        assert trial.user_attrs["rejected"] == ["The temperature is at least 0.5."]
        assert trial.constraints == {"rejected": 1.0}
        assert trial.params["method.temperature"] < 0.5
    early = sum(trial.number < 20 for trial in rejected)
    late = sum(trial.number >= len(hand.memory.all()) - 20 for trial in rejected)
    assert late < early, "of the first 20 points three in four are infeasible, later ones keep away"
    assert len(frames.runs("small", home)) == 30 + 2
    assert len(summary(hand.course, "laptop")["rejected"]) == len(rejected)


def test_fields_that_do_not_go_together_are_rejected_too(small_run: RunConfig, home: Path) -> None:
    space = {"optimizer.name": Choice(values=("adamw", "sgd")), "batch_size": Choice(values=(64, 10_000))}
    hand = Hand(declare(small_run, space=space, trials=2, best=0, further_seeds=0), home, lambda run: 0.5).run()
    assert {run.batch_size for run, _ in hand.trained} == {64}
    why = {trial.user_attrs["rejected"][0] for trial in hand.memory.all() if "rejected" in trial.user_attrs}
    assert all("batch_size 10000 is larger than the 256 items to train on" in sentence for sentence in why)


def test_a_space_without_a_point_is_one_clear_line(small_run: RunConfig, home: Path) -> None:
    search = declare(small_run, constraints=(Constraint(sentence="Never.", holds=never),))
    with pytest.raises(UserError, match=r"200 points in a row can't be trained, the last because: Never\. Widen"):
        Hand(search, home, near_02).run()


def test_a_small_space_is_done_once(small_run: RunConfig, home: Path) -> None:
    space = {"method.temperature": Choice(values=(0.1, 0.2, 0.5))}
    hand = Hand(declare(small_run, space=space, trials=9, best=0, further_seeds=0), home, near_02, pruner="none").run()
    assert sorted(hand.sampled()) == [0.1, 0.2, 0.5]
    assert "every point of the space is done: 3 trials" in hand.screen.getvalue()


def test_an_interrupted_search_goes_on_and_repeats_nothing(longer: RunConfig, home: Path) -> None:
    search = declare(longer, trials=8)
    first = Hand(search, home, near_02).run(at_most=4)
    under_way = [t.number for t in first.memory.trained() if not t.state.is_finished()]
    assert under_way
    before = first.sampled()
    statuses = frames.runs("small", home).set_index("row")["status"]
    assert "KILLED" in set(statuses)
    second = Hand(search, home, near_02).run()
    assert second.sampled()[: len(before)] == before
    assert len(set(second.sampled())) == 8
    again = [run for run, _ in second.trained if run.seed == 0 and run.evaluation.splits == ("validation",)]
    finished_before = [run for run, _ in first.trained]
    assert not [run for run in again if run in finished_before], "a finished trial is not trained again"
    assert len(again) + len(finished_before) == 8
    runs = frames.runs("small", home)
    assert runs["fingerprint"].is_unique
    third = Hand(search, home, near_02).run()
    assert third.trained == []
    assert third.course.winner == second.course.winner
    assert third.course.tested.keys() == {"winner", "default"}
    assert {seed: found["test/linear/top1"] for seed, found in third.course.tested["winner"].items()} == {
        seed: found["test/linear/top1"] for seed, found in second.course.tested["winner"].items()
    }
    more = Hand(declare(longer, trials=10), home, near_02).run()
    assert len(more.sampled()) == len(set(more.sampled())) == 10


def test_a_failed_trial_is_a_row_and_the_search_goes_on(small_run: RunConfig, home: Path) -> None:
    def fragile(run: RunConfig) -> float:
        if run.method.temperature > 0.3:  # type: ignore[attr-defined]
            raise ArithmeticError("the loss became nan")
        return near_02(run)

    hand = Hand(declare(small_run, trials=10), home, fragile, pruner="none").run()
    runs = frames.runs("small", home)
    failed = runs[runs["status"] == "FAILED"]
    assert 0 < len(failed) < 10
    assert (failed["reason"] == "the loss became nan").all()
    assert hand.course.winner is not None
    told = [trial for trial in hand.memory.trained() if "failed" in trial.user_attrs]
    assert [trial.constraints for trial in told] == [{"failed": 1.0}] * len(failed)
    again = Hand(declare(small_run, trials=10), home, fragile).run()
    assert again.trained == [], "a failed point is not tried again"


def test_a_lost_process_says_nothing_of_its_point(small_run: RunConfig, home: Path) -> None:
    hand = Hand(declare(small_run, best=0, further_seeds=0), home, near_02)
    with hand.course.recorder:
        number = hand.course.next()
        assert number is not None
        hand.course.take(number, Failed("its process was lost 3 times"), lost=True)
    (trial,) = hand.memory.trained()
    assert trial.state == optuna.trial.TrialState.FAIL
    assert trial.constraints == {}


def test_earlier_searches_of_the_same_space_teach_a_new_one(longer: RunConfig, home: Path) -> None:
    first = Hand(declare(longer, trials=8), home, near_02).run()
    other_base = Hand(
        declare(longer.with_field("epochs", 4), name="third", trials=3), home, near_02, pruner="none"
    ).run()
    scores = first.memory.scores()
    best = first.course.search.objective.better(scores)[:3]
    tried = [first.memory.all()[number].params["method.temperature"] for number in best]
    assert set(other_base.sampled()) >= set(tried), "the best of another base are tried first"
    same_base = Hand(declare(longer, name="second", trials=2), home, near_02)
    learned = [trial for trial in same_base.memory.all() if "earlier" in trial.user_attrs]
    assert [trial.params for trial in learned] == [trial.params for trial in first.memory.trained()]
    assert learned[0].user_attrs["earlier"] == "small trial 0"
    assert not same_base.memory.trained(), "they are not its own"
    assert len(same_base.run().sampled()) == 2
    other_space = {"method.temperature": LogUniform(low=0.05, high=0.9)}
    assert not Hand(declare(longer, name="fourth", space=other_space), home, near_02).memory.all()


def test_two_objectives_have_a_front_and_no_pruning(small_run: RunConfig, home: Path) -> None:
    space = {**SPACE, "epochs": Integer(low=1, high=6)}
    second = Objective(metric="search/images_seen", direction="minimize")
    search = declare(small_run, space=space, second=second, trials=10)
    with pytest.raises(UserError, match="what is behind in one may be ahead in the other; use --pruner none"):
        Hand(search, home, near_02)
    hand = Hand(search, home, lambda run: near_02(run) + 0.01 * run.epochs, pruner="none", sampler="nsga2").run()
    front = hand.memory.front()
    values = {trial.number: trial.values for trial in hand.memory.trained()}
    for number in values:
        score, images = values[number]
        beaten = any(s >= score and i <= images and (s, i) != (score, images) for s, i in values.values())
        assert (number in front) == (not beaten)
    assert hand.course.winner in front


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "nsga2"])
def test_every_sampler_gets_better_or_at_least_through(sampler: Any, small_run: RunConfig, home: Path) -> None:
    space = {
        "method.temperature": LogUniform(low=0.05, high=1.0),
        "optimizer.learning_rate": LogUniform(low=1e-4, high=0.1),
    }
    search = declare(small_run, space=space, trials=8, best=1, further_seeds=1)
    hand = Hand(search, home, near_02, sampler=sampler, pruner="none").run(at_most=4)
    hand = Hand(search, home, near_02, sampler=sampler, pruner="none").run()
    assert len({tuple(trial.params.items()) for trial in hand.memory.trained()}) == 8
    assert hand.course.winner is not None


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (SPACE, "cmaes searches numbers only, and batch_size is a choice; use --sampler tpe, random or nsga2"),
        ({"method.views": Composition(parts=(BLUR, JITTER))}, "and method.views is a composition"),
        ({"method.temperature": Uniform(low=0.1, high=1)}, "cmaes needs two numbers or more, and small has one"),
    ],
)
def test_cmaes_is_refused_where_it_does_not_fit(
    space: dict[str, Any], message: str, small_run: RunConfig, home: Path
) -> None:
    with pytest.raises(UserError, match=message):
        Hand(declare(small_run, space=space), home, near_02, sampler="cmaes")


def test_only_one_process_drives_a_search(tmp_path: Path) -> None:
    with only_driver(tmp_path, "small"):
        with only_driver(tmp_path, "another"):
            pass
        with (
            pytest.raises(UserError, match="another process is running the search small"),
            only_driver(tmp_path, "small"),
        ):
            pass
    with only_driver(tmp_path, "small"):
        pass


def test_half_a_line_in_the_journal_is_dropped(small_run: RunConfig, home: Path) -> None:
    hand = Hand(declare(small_run, best=0, further_seeds=0), home, near_02).run()
    before = hand.sampled()
    with hand.memory.path.open("ab") as file:
        file.write(b'{"op_code": 4, "worker')
    again = Hand(declare(small_run, trials=6, best=0, further_seeds=0), home, near_02).run()
    assert again.sampled()[:4] == before
    assert len(again.sampled()) == 6


def test_seeds_after_the_largest_begin_at_zero(small_run: RunConfig, home: Path) -> None:
    last = small_run.with_field("seed", 2**63 - 1)
    hand = Hand(declare(last, trials=1, best=1, further_seeds=1), home, near_02).run()
    assert {run.seed for run, _ in hand.trained} == {2**63 - 1, 0, 1}


def test_what_a_pruned_runs_process_still_writes_goes_when_the_search_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []
    monkeypatch.setattr(Recorder, "__exit__", lambda *_: ended.append(True))
    recorder = object.__new__(SearchRecorder)
    recorder._pruned = [tmp_path / "work" / "late"]
    recorder._pruned[0].mkdir(parents=True)  # by a writer that was under way while the driver removed it
    recorder.__exit__(None, None, None)
    assert ended
    assert not recorder._pruned[0].exists()
