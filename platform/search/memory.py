"""What a search remembers: its points and scores, in an Optuna store that survives whatever ends the process.

A journal file for each search and base, with an Optuna study for each space in it. The driver is the only writer, one
driver at a time. A trial of the store is one of these, by its attributes and state:

* ``run`` (the point's RunConfig): it is trained, or was. RUNNING is under way, also after a kill; COMPLETE is finished,
  PRUNED was stopped early, or failed by its own fault: then ``failed`` says why. FAIL lost its process too often.
* ``rejected`` (sentences): it breaks a constraint, or its fields do not go together. Never trained.
* ``repeats`` (a trial's number): the same run as an earlier point. Not trained again.
* ``earlier`` (whose it was): learned from another search with the same space and base.

Rejected and self-failed points carry an Optuna constraint above zero, by which samplers tell infeasible from merely
bad.
"""

import fcntl
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState
from pydantic import ValidationError

from unlabeled.platform.config import RunConfig
from unlabeled.platform.draws import key
from unlabeled.platform.errors import UserError, explain
from unlabeled.platform.metrics import metric_of
from unlabeled.platform.search.declared import Search
from unlabeled.platform.search.strategy import (
    PrunerName,
    SamplerName,
    check_pruner,
    check_sampler,
    make_pruner,
    make_sampler,
)

_TRIED_FIRST = 3  # of the best points of searches around other bases

optuna.logging.set_verbosity(logging.WARNING)


class Memory:
    """The trials of one search around one base.

    Args:
        search: what is searched.
        base: around which run.
        checksum: of the base's data.
        home: where ``searches/`` is.
        sampler: what proposes points.
        pruner: what stops trials; only a search with one objective has any.
        seed: of the sampler.
        trials: how many will be trained, by which a sampler plans its generations.

    Raises:
        UserError: sampler or pruner can't serve this search.
    """

    def __init__(
        self,
        search: Search,
        base: RunConfig,
        checksum: str,
        home: Path,
        *,
        sampler: SamplerName = "tpe",
        pruner: PrunerName = "asha",
        seed: int = 0,
        trials: int = 30,
    ) -> None:
        check_sampler(sampler, search)
        check_pruner(pruner, search)
        self.search = search
        self.path = home / "searches" / search.name / f"{base.digest(checksum)}.journal"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._storage = _open(self.path)
        known = {study.study_name for study in optuna.get_all_study_summaries(self._storage)}
        self.name = search.space_digest()
        self.study = optuna.create_study(
            storage=self._storage,
            study_name=self.name,
            directions=[objective.direction for objective in search.objectives],
            pruner=make_pruner(pruner),
            load_if_exists=True,
        )
        self.prunes = pruner != "none"
        grows = metric_of(search.prune_on).direction != "lower"
        self.sign = 1.0 if grows == (search.objective.direction == "maximize") else -1.0  # of what is pruned on
        if self.name not in known:
            self._learn_from_earlier(home)
        turn = key(seed, "sampler", len(self.study.get_trials(deepcopy=False)))  # or it would begin as it began before
        self.study.sampler = make_sampler(sampler, turn % 2**31, trials)
        self._open: dict[int, Trial] = {}

    def ask(self) -> Trial:
        """Open a new trial, which answers a dimension's questions."""
        trial = self.study.ask()
        self._open[trial.number] = trial
        return trial

    def trains(self, number: int, run: RunConfig) -> None:
        """Note that a trial's run is trained."""
        self._open[number].set_user_attr("run", run.model_dump(mode="json", serialize_as_any=True))

    def reject(self, number: int, why: Sequence[str]) -> None:
        """Tell the sampler that the point is infeasible: by so many rules."""
        trial = self._open.pop(number)
        trial.set_user_attr("rejected", list(why))
        trial.set_constraint("rejected", float(len(why)))
        self.study.tell(number, state=TrialState.PRUNED)

    def repeats(self, number: int, earlier: int) -> None:
        """Close a point that is the same run as an earlier one; its score is known already."""
        self._open.pop(number).set_user_attr("repeats", earlier)
        self.study.tell(number, state=TrialState.FAIL)

    def hopeless(self, number: int, epoch: int, value: float) -> bool:
        """Take in how a trial does after an epoch; tell whether to stop it."""
        if not self.prunes:
            return False
        trial = self._open[number]
        if epoch not in self._frozen(number).intermediate_values:
            trial.report(self.sign * value, epoch)
        return trial.should_prune()

    def pruned(self, number: int) -> None:
        """Close a trial that was stopped early."""
        del self._open[number]
        self.study.tell(number, state=TrialState.PRUNED)

    def finished(self, number: int, values: Sequence[float]) -> None:
        """Close a trial with its score."""
        del self._open[number]
        self.study.tell(number, list(values))

    def failed(self, number: int, reason: str) -> None:
        """Close a trial whose run failed by its own fault: the sampler takes its point for infeasible."""
        trial = self._open.pop(number)
        trial.set_user_attr("failed", reason)
        trial.set_constraint("failed", 1.0)
        self.study.tell(number, state=TrialState.PRUNED)

    def lost(self, number: int, reason: str) -> None:
        """Close a trial whose process was lost: that says nothing of its point."""
        self._open.pop(number).set_user_attr("failed", reason)
        self.study.tell(number, state=TrialState.FAIL)

    def reopen(self) -> list[int]:
        """Return the numbers of the trials that were under way when the search stopped, and open them again."""
        for frozen in self.all():
            if frozen.state == TrialState.RUNNING and frozen.number not in self._open:
                if "run" in frozen.user_attrs:
                    self._open[frozen.number] = Trial(self.study, frozen._trial_id)
                else:
                    self.study.tell(frozen.number, state=TrialState.FAIL)  # it was stopped before it began
        return sorted(self._open)

    def all(self) -> list[FrozenTrial]:
        """Return every trial, oldest first; not to be changed."""
        return self.study.get_trials(deepcopy=False)

    def trained(self) -> list[FrozenTrial]:
        """Return the trials that were trained, or are."""
        return [trial for trial in self.all() if "run" in trial.user_attrs]

    def run_of(self, number: int) -> RunConfig:
        """Return the run that a trial trains.

        Raises:
            UserError: it was written when runs had other fields.
        """
        try:
            return RunConfig.model_validate(self.all()[number].user_attrs["run"])
        except ValidationError as error:
            raise UserError(
                f"{self.path} holds trials of another version ({explain(error)}); move it away, or use another --home"
            ) from None

    def scores(self) -> dict[int, float]:
        """Return number -> objective of the trials that finished; with two objectives, of those of the Pareto front."""
        finished = self.study.best_trials if self.search.second else self.trained()
        return {
            trial.number: trial.values[0]
            for trial in finished
            if trial.state == TrialState.COMPLETE and "run" in trial.user_attrs
        }

    def front(self) -> list[int]:
        """Return the numbers of the trials than which no other is better in both objectives."""
        return sorted(trial.number for trial in self.study.best_trials if "run" in trial.user_attrs)

    def _frozen(self, number: int) -> FrozenTrial:
        return self.all()[number]

    def _learn_from_earlier(self, home: Path) -> None:
        """Take over what other searches of this home found in the same space.

        Scores around the same base are this search's, too. Around another base (fewer epochs, say) they are not: the
        best points are tried first.
        """
        elsewhere: list[FrozenTrial] = []
        for path in sorted((home / "searches").glob("*/*.journal")):
            storage = _open(path)
            names = {study.study_name for study in optuna.get_all_study_summaries(storage)}
            if path == self.path or self.name not in names:
                continue
            for trial in optuna.load_study(study_name=self.name, storage=storage).get_trials():
                if path.name != self.path.name:
                    elsewhere += [trial] if trial.state == TrialState.COMPLETE and "run" in trial.user_attrs else []
                elif trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                    trial.user_attrs = {"earlier": f"{path.parent.name} trial {trial.number}"}
                    self.study.add_trial(trial)
        scores = {place: trial.values[0] for place, trial in enumerate(elsewhere)}
        for place in self.search.objective.better(scores)[:_TRIED_FIRST]:
            self.study.enqueue_trial(elsewhere[place].params, skip_if_exists=True)


@contextmanager
def only_driver(home: Path, name: str) -> Iterator[None]:
    """Keep other processes from driving the same search while this one does; the lock dies with its process.

    Raises:
        UserError: one does.
    """
    path = home / "searches" / name / "driver.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"another process is running the search {name} in {home}; wait for it, or stop it"
            ) from None
        yield


def _open(path: Path) -> JournalStorage:
    """Open a journal, without what a power failure left of a line; whoever writes holds :func:`only_driver`."""
    if path.is_file() and not (content := path.read_bytes()).endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_NoLock(str(path))))


class _NoLock(JournalFileOpenLock):
    """Optuna's own lock file would outlive a killed process."""

    def acquire(self) -> bool:
        """Do nothing."""
        return True

    def release(self) -> None:
        """Do nothing."""
