"""A search's logged trials as a study of Optuna's, which its figures and its importance are made from.

The study lives in memory. Its trials are numbered by their place in the table, for a search's numbers have gaps: points
that were rejected have numbers, too.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
import pandas as pd
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from unlabeled.dashboards.search_trials import Parameter

TRUTH = ("True", "False")
STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "running": TrialState.RUNNING}
"""Of those that are not named here, nothing is known to Optuna but that they failed."""


def rebuilt(
    table: pd.DataFrame,
    points: pd.DataFrame,
    space: Sequence[Parameter],
    directions: Sequence[str],
    curves: pd.DataFrame | None = None,
) -> optuna.Study:
    """Return the study that a search's sampler would have.

    Args:
        table: the trials, see :func:`unlabeled.dashboards.search_trials.trials`.
        points: their points; None where a parameter was not asked for.
        space: the parameters.
        directions: of the objective, and of the second where the study shall have both.
        curves: the followed metric, long: ``trial``, ``epoch``, ``value``.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=[StudyDirection[direction.upper()] for direction in directions])
    distributions = {one.name: distribution(one, points[one.name]) for one in space}
    followed = _by_trial(curves)
    for number, line, point in zip(table.index, table.to_dict("records"), points.to_dict("records"), strict=True):
        given = {
            name: _value(distributions[name], value)
            for name, value in point.items()
            if name in distributions and not pd.isna(value)
        }
        values = [float(line[name]) for name in ("value", "second")[: len(directions)]]
        state = STATES.get(str(line["state"]), TrialState.FAIL)
        if state == TrialState.COMPLETE and not all(map(math.isfinite, values)):
            state = TrialState.FAIL
        study.add_trial(
            create_trial(
                state=state,
                values=values if state == TrialState.COMPLETE else None,
                params=given,
                distributions={name: distributions[name] for name in given},
                intermediate_values=followed.get(number, {}),
            )
        )
    return study


def distribution(parameter: Parameter, values: "pd.Series[Any]") -> BaseDistribution:
    """Return a parameter's distribution, widened to values that lie outside a record of another version.

    Choices that are numbers or truth values become such, so that they have their order, and an axis.
    """
    if parameter.choices:
        read = [_of_label(choice) for choice in parameter.choices]
        are_told_apart = len(set(read)) == len(read)
        return CategoricalDistribution(read if are_told_apart else parameter.choices)
    known = [float(value) for value in values.dropna()]
    known += [float(bound) for bound in (parameter.low, parameter.high) if math.isfinite(bound)]
    low, high = min(known), max(known)
    is_log = parameter.is_log and low > 0
    if parameter.is_whole and all(value.is_integer() for value in known):
        return IntDistribution(int(low), int(high), log=is_log and low >= 1)
    return FloatDistribution(low, high, log=is_log)


def is_number(parameter: Parameter) -> bool:
    """Tell whether a parameter's values lie on an axis: numbers, and choices among numbers."""
    return all(isinstance(_of_label(choice), int | float) and choice not in TRUTH for choice in parameter.choices)


def _value(into: BaseDistribution, value: Any) -> Any:
    if isinstance(into, CategoricalDistribution):
        return value if value in into.choices else _of_label(value)
    return int(value) if isinstance(into, IntDistribution) else float(value)


def _of_label(label: str) -> Any:
    if label in TRUTH:
        return label == "True"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            number = kind(label)
            return number if math.isfinite(number) else label
    return label


def _by_trial(curves: pd.DataFrame | None) -> Mapping[Any, dict[int, float]]:
    if curves is None or curves.empty:
        return {}
    return {
        trial: {int(epoch): float(value) for epoch, value in zip(curve["epoch"], curve["value"], strict=True)}
        for trial, curve in curves.groupby("trial")
    }


def front(table: pd.DataFrame, directions: Sequence[str]) -> list[int]:
    """Return the trials than which no other is at least as good in both objectives and better in one."""
    study = rebuilt(table, pd.DataFrame(index=table.index), [], directions)
    return [int(table.index[trial.number]) for trial in study.best_trials]
