"""A search on its way: which run comes next, and what each run's events mean for it. Knows no Ray.

Trials first, on validation alone. Then the best few over further seeds, on validation still: the winner is the best
mean of those. Only then the test split is read, of the winner and of the base, over seeds that none of this has seen:
the runs that a point was chosen by are its luckiest ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from unlabeled.platform.config import RunConfig
from unlabeled.platform.drive.sweep import OVER
from unlabeled.platform.errors import UserError
from unlabeled.platform.metrics import unit_of
from unlabeled.platform.search.built import field_of, read_back
from unlabeled.platform.search.declared import IMAGES_SEEN, Search
from unlabeled.platform.search.memory import Memory
from unlabeled.platform.search.recording import Role, SearchDisplay, SearchRecorder, Stage
from unlabeled.platform.study import PlannedRun
from unlabeled.platform.train.events import EpochDone, Event, Failed, Finished, Metrics, Started
from unlabeled.platform.train.loaded import data_of, identify

_TRIES = 200  # points in a row that can't be trained, or were


@dataclass(frozen=True)
class Contender:
    """A trial that is repeated: seed -> objective, on validation."""

    trial: int
    scores: dict[int, float]

    @property
    def mean(self) -> float:
        """What the winner is chosen by."""
        return mean(self.scores.values())


class Course:
    """One search on its way.

    Attributes:
        contenders: the repeated trials whose runs all finished, the best mean first.
        winner: the number of the trial that won; None where none has yet.
        tested: "winner" and "default" -> seed -> that run's final metrics, test among them.
    """

    def __init__(
        self,
        search: Search,
        base: RunConfig,
        memory: Memory,
        recorder: SearchRecorder,
        display: SearchDisplay,
        *,
        trials: int,
        workers: int = 1,
    ) -> None:
        self.search, self.base, self.memory = search, base, memory
        self.recorder, self.display = recorder, display
        self.trials, self.workers = trials, workers
        self.contenders: list[Contender] = []
        self.winner: int | None = None
        self.tested: dict[str, dict[int, Metrics]] = {"winner": {}, "default": {}}
        self.is_over = False
        self._under_way: set[int] = set()
        self._hopeless: set[int] = set()
        self._latest: dict[int, Metrics] = {}
        self._final: dict[int, Metrics] = {}
        self._trial_of: dict[str, int] = {}  # fingerprint -> trial
        for frozen in memory.trained():
            run = memory.run_of(frozen.number)
            self._trial_of[identify(run).fingerprint] = frozen.number
        self._steps = self._plan()
        self._say_best()

    def next(self) -> int | None:
        """Return the number of the run to do next, None while it depends on those under way, or ``OVER``.

        Raises:
            UserError: no point of the space can be trained.
        """
        number = next(self._steps, OVER)
        if number == OVER:
            self.is_over = True
        elif number is not None:
            self._under_way.add(number)
        return number

    def stops(self, number: int, event: Event) -> bool:
        """Tell whether a run should not go on after this event. Asked before :meth:`take`."""
        role = self.recorder.roles[number]
        if role.stage != "trial" or not isinstance(event, EpochDone):
            return False
        assert role.trial is not None
        value = event.metrics.get(self.search.prune_on)
        if value is None or event.epoch >= self.recorder.planned[number].config.epochs:
            return False
        if self.memory.hopeless(role.trial, event.epoch, value):
            self._hopeless.add(number)
            return True
        return False

    def take(self, number: int, event: Event, *, lost: bool = False) -> None:
        """Take in what a run reported; ``lost`` says that it failed by no fault of its own."""
        role = self.recorder.roles[number]
        if isinstance(event, Finished):
            event = self._with_scores(number, event)
            self._final[number] = event.metrics
            if role.stage == "trial" and self.search.objective.metric in event.metrics:
                self._say_best({role.trial: event.metrics[self.search.objective.metric]})
        self.recorder.take(self.display, number, event)
        if isinstance(event, Started) and event.epochs:
            self._latest[number] = event.epochs[-1]
        elif isinstance(event, EpochDone):
            self._latest[number] = event.metrics
            if number in self._hopeless:
                assert role.trial is not None
                self.memory.pruned(role.trial)  # first: a kill in between must not train it again
                self.recorder.prune(self.display, number, event.epoch)
                self._under_way.discard(number)
        elif isinstance(event, Finished | Failed):
            self._under_way.discard(number)
            if role.stage == "trial":
                assert role.trial is not None
                self._tell(role.trial, event, lost)

    def _tell(self, trial: int, event: Finished | Failed, lost: bool) -> None:
        if isinstance(event, Finished):
            wanted = [objective.metric for objective in self.search.objectives]
            missing = [metric for metric in wanted if metric not in event.metrics]
            if missing:
                self.memory.lost(trial, f"{missing[0]} was not measured")
            else:
                self.memory.finished(trial, [event.metrics[metric] for metric in wanted])
        elif lost:
            self.memory.lost(trial, event.reason)
        else:
            self.memory.failed(trial, event.reason)

    def _with_scores(self, number: int, event: Finished) -> Finished:
        """Add the followed metrics of the last epoch, pictures seen, and the objective under a name of its own."""
        config = self.recorder.planned[number].config
        seen = self.recorder.images_seen(number, config.epochs)
        metrics = {**self._latest.get(number, {}), **event.metrics, IMAGES_SEEN: seen}
        wanted = self.search.objective.metric
        if wanted in metrics:
            metrics["search/objective"] = metrics[wanted]
        return replace(event, metrics=metrics)

    def _say_best(self, just_now: Mapping[int | None, float] | None = None) -> None:
        """Let the display know the best trial so far."""
        scores = self.memory.scores() | {trial: score for trial, score in (just_now or {}).items() if trial is not None}
        if scores:
            metric = self.search.objective.metric
            number = self.search.objective.better(scores)[0]
            self.display.best = f"{unit_of(metric).value(scores[number])} (trial {number})"

    def _plan(self) -> Iterator[int | None]:
        yield from self._do_trials()
        yield from self._repeat_best()
        if self.winner is not None:
            yield from self._test()

    def _do_trials(self) -> Iterator[int | None]:
        for under_way in self.memory.reopen():
            yield self._enter_trial(under_way, self.memory.run_of(under_way))
        while len(self.memory.trained()) < self.trials:
            trial = self._ask()
            if trial is None:
                self.display.say(f"every point of the space is done: {len(self.memory.trained())} trials")
                break
            number = self._enter_trial(trial, self.memory.run_of(trial))
            known = self.recorder.known(number)  # of a search whose journal is gone
            if known is not None and all(o.metric in known for o in self.search.objectives):
                self.memory.finished(trial, [known[o.metric] for o in self.search.objectives])
                continue
            yield number
        yield from self._wait()

    def _ask(self) -> int | None:
        """Ask for a point that can be trained and was not; None where there seems to be none left."""
        why: list[str] = []
        repeats = 0
        for _ in range(_TRIES):
            trial = self.memory.ask()
            run, why = self._run_at(self.search.draw(trial))
            if run is None:
                self.memory.reject(trial.number, why)
                continue
            fingerprint = identify(run).fingerprint
            if fingerprint in self._trial_of:
                repeats += 1
                self.memory.repeats(trial.number, self._trial_of[fingerprint])
                continue
            self.memory.trains(trial.number, run)
            self._trial_of[fingerprint] = trial.number
            return trial.number
        if repeats:
            return None
        raise UserError(
            f"{_TRIES} points in a row can't be trained, the last because: {'; '.join(why)} Widen the space of "
            f"{self.search.name}, or loosen its constraints"
        )

    def _run_at(self, point: dict[str, Any]) -> tuple[RunConfig | None, list[str]]:
        """Make the run of a point; where it may not be trained, None and why."""
        try:
            run = self.search.run_at(self.base, point)
            why = self.search.broken(run)
            if not why:
                read_back(run, point, data_of(run), self.workers)
        except UserError as error:
            return None, [str(error)]
        return (None, why) if why else (run, [])

    def _enter_trial(self, trial: int, run: RunConfig) -> int:
        return self._enter(PlannedRun(row=f"trial {trial}", seed=run.seed, config=run), "trial", trial)

    def _enter(self, planned: PlannedRun, stage: Stage, trial: int | None) -> int:
        number = self.recorder.add(planned)
        point = {} if trial is None else self.memory.all()[trial].params
        fields = {} if trial is None else {path: field_of(planned.config, path) for path in self.search.space}
        data = self.recorder.data[planned.config.data]
        self.recorder.roles[number] = Role(stage, trial, point, read_back(planned.config, fields, data, self.workers))
        return number

    def _wait(self) -> Iterator[None]:
        while self._under_way:
            yield None

    def _do_all(self, numbers: Sequence[int]) -> Iterator[int | None]:
        """Do what is unfinished of several runs, and wait for them."""
        for number in numbers:
            known = self.recorder.known(number)
            if known is None:
                yield number
            else:
                self._final[number] = known
                self.recorder.outcome.skipped += 1
                self.display.total -= 1
        yield from self._wait()

    def _seeds(self) -> list[int]:
        return [(self.base.seed + 1 + place) % 2**63 for place in range(self.search.further_seeds)]

    def _fresh_seeds(self) -> list[int]:
        first = self.base.seed + 1 + self.search.further_seeds  # of 63 bits
        return [(first + place) % 2**63 for place in range(max(1, self.search.further_seeds))]

    def _repeat_best(self) -> Iterator[int | None]:
        scores = self.memory.scores()
        best = self.search.objective.better(scores)
        if not best:
            return
        if not self.search.best:
            self.winner = best[0]
            return
        planned = {
            (trial, seed): self._enter(
                PlannedRun(row=f"trial {trial}", seed=seed, config=self.memory.run_of(trial).with_field("seed", seed)),
                "repeat",
                trial,
            )
            for seed in self._seeds()
            for trial in best[: self.search.best]
        }
        yield from self._do_all(list(planned.values()))
        wanted = self.search.objective.metric
        for trial in best[: self.search.best]:
            finals = {seed: self._final.get(planned[trial, seed], {}).get(wanted) for seed in self._seeds()}
            complete = {seed: value for seed, value in finals.items() if value is not None}
            if len(complete) == len(finals):
                self.contenders.append(Contender(trial, complete))
        ranked = self.search.objective.better({c.trial: c.mean for c in self.contenders})
        self.contenders.sort(key=lambda contender: ranked.index(contender.trial))
        self.winner = ranked[0] if ranked else None

    def _test(self) -> Iterator[int | None]:
        """Measure winner and base on test, over seeds that the choice did not see."""
        assert self.winner is not None
        numbers: dict[tuple[str, int], int] = {}
        for seed in self._fresh_seeds():
            run = self.winning_run().with_field("seed", seed)
            numbers["winner", seed] = self._enter(PlannedRun(row="winner", seed=seed, config=run), "test", self.winner)
            base = PlannedRun(row="default", seed=seed, config=self.base.with_field("seed", seed))
            numbers["default", seed] = self._enter(base, "test", None)
        different = {self.recorder.fingerprint(number): number for number in numbers.values()}
        yield from self._do_all(list(different.values()))
        for (row, seed), number in numbers.items():
            final = self._final.get(different[self.recorder.fingerprint(number)])
            if final is not None:
                self.tested[row][seed] = final

    def winning_run(self) -> RunConfig:
        """Return the winner as a run like any other: measured as the base is, with the base's seed."""
        assert self.winner is not None
        return self.memory.run_of(self.winner).with_field("evaluation", self.base.evaluation)
