"""How a search went, as files: ``winner.json``, a run like any other, and ``search.json``, for a page about it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from unlabeled.platform.search.course import Course
from unlabeled.platform.train import checkpoint

_STATES = {TrialState.RUNNING: "running", TrialState.COMPLETE: "finished", TrialState.FAIL: "failed"}


@dataclass(frozen=True)
class Files:
    """Where the files lie; there is no winner without a finished trial."""

    search: Path
    winner: Path | None


def write(course: Course, profile: str) -> Files:
    """Write both files into the search's folder, and beside the winner's first test run in MLflow."""
    folder = course.memory.path.parent
    found = Files(folder / "search.json", folder / "winner.json" if course.winner is not None else None)
    _write_json(found.search, summary(course, profile))
    if found.winner is None:
        (folder / "winner.json").unlink(missing_ok=True)  # an earlier search's, around another base perhaps
        return found
    _write_json(found.winner, course.winning_run().model_dump(mode="json", serialize_as_any=True))
    recorder = course.recorder
    first = next(
        (n for n, role in recorder.roles.items() if role.stage == "test" and role.trial == course.winner), None
    )
    run = None if first is None else recorder.log.logged(recorder.fingerprint(first))
    if run is not None:
        for path in (found.search, found.winner):
            recorder.log.store.artifacts(run).log_artifact(str(path))  # type: ignore[no-untyped-call]
    return found


def summary(course: Course, profile: str) -> dict[str, Any]:
    """Return all that the search found, as JSON values."""
    search, memory = course.search, course.memory
    trials = memory.all()
    return {
        "search": search.record(profile),
        "base": course.base.model_dump(mode="json", serialize_as_any=True),
        "store": {"journal": memory.path.name, "study": memory.name},
        "trials": [_trial(trial, memory.sign) for trial in trials if "run" in trial.user_attrs],
        "rejected": [
            {"trial": trial.number, "point": trial.params, "why": trial.user_attrs["rejected"]}
            for trial in trials
            if "rejected" in trial.user_attrs
        ],
        "learned": sum("earlier" in trial.user_attrs for trial in trials),
        "front": memory.front() if search.second else None,
        "contenders": [
            {"trial": contender.trial, "scores": contender.scores, "mean": contender.mean}
            for contender in course.contenders
        ],
        "winner": course.winner,
        "tested": course.tested,
    }


def counts(course: Course) -> dict[str, int]:
    """Return how many trials ended how, and how many points were never trained."""
    states = [_state(trial) for trial in course.memory.trained()]
    found = {state: states.count(state) for state in ("finished", "pruned", "failed")}
    return {**found, "rejected": sum("rejected" in trial.user_attrs for trial in course.memory.all())}


def _trial(trial: FrozenTrial, sign: float) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": _state(trial),
        "values": trial.values if trial.state == TrialState.COMPLETE else None,
        "point": trial.params,
        "reason": trial.user_attrs.get("failed", ""),
        "followed": {epoch: sign * value for epoch, value in trial.intermediate_values.items()},
    }


def _state(trial: FrozenTrial) -> str:
    if trial.state == TrialState.PRUNED:
        return "failed" if "failed" in trial.user_attrs else "pruned"
    return _STATES[trial.state]


def _write_json(path: Path, value: Any) -> None:
    checkpoint.write_atomically(path, json.dumps(value, indent=2).encode())
