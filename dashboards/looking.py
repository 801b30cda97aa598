"""Looks at a study's claims as they are recorded in its store: whoever is told a verdict has looked.

A report, and every round of a study that runs until it is decided, are looks: after them a user may stop, or declare
more seeds, because of what was said. So a look is recorded before anybody is told of it, and the next one, by whichever
driver on whichever day, goes on with what is left of the error rate. What is recorded with a look is its design (the
seeds that were declared at the first of all) and what was decided; the rate of later looks depends on how many seeds
there are, and on nothing else, so to look often costs nothing, and to look again at the same runs is no look at all.
Runs in pandas are not judged, so reading them is none either. What this can't know is a verdict that somebody made of
them by other means, and a look at runs whose settings were changed since: those are other claims, with a rate of their
own.

Looks belong to a base (the identity of what the rows are made from) and to claims (what is compared, over rows of which
settings): a report at another scale, or with another ``--set``, is about something else.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from unlabeled.dashboards.counted import with_core
from unlabeled.dashboards.declared import declared
from unlabeled.dashboards.rates import Look, is_new
from unlabeled.dashboards.verdicts import Verdict, judge
from unlabeled.platform.errors import UserError
from unlabeled.platform.track import Store
from unlabeled.platform.track.faults import AwayError, DeniedError, RefusedError
from unlabeled.platform.track.looks import looks_of, record_look

_TRIES = 20  # that other drivers may be quicker: each time, they have looked


def looked(store: Store, name: str, record: Mapping[str, Any], runs: pd.DataFrame) -> tuple[list[Look], str]:
    """Look at a study's claims, and record that.

    Args:
        store: where the study is.
        name: its name.
        record: as it was logged, or nothing.
        runs: of one base, one row per run.

    Returns:
        All looks, the oldest first and this one among them; and why this one could not be recorded, if it could not.

    Raises:
        UserError: the rows were measured by different protocols, or the looks can't be read.
    """
    read, _ = declared(record, name)
    base = str(runs["base"].iloc[-1]) if len(runs) else ""
    if not read["claims"] or not base:
        return [], ""
    for _ in range(_TRIES):
        looks = [Look.of_record(found) for found in looks_of(store, name, base)]
        _, now = judge(read, with_core(runs), looks)
        if not is_new(now, looks):
            return looks, ""
        try:
            if record_look(store, name, base, len(looks), now.as_record()):
                return [*looks, now], ""
        except (AwayError, DeniedError, RefusedError) as error:
            return [
                *looks,
                now,
            ], f"this look at the claims could not be recorded, so that later ones forget it: {error}"
    raise UserError(f"other drivers look at {name!r} all the time; try again")


def judged_on_record(store: Store, name: str, record: Mapping[str, Any], runs: pd.DataFrame) -> list[Verdict]:
    """Judge a study's claims in view of all looks, this one recorded.

    Raises:
        UserError: as for :func:`looked`; or this look can't be recorded, so nobody should go by it.
    """
    looks, problem = looked(store, name, record, runs)
    if problem:
        raise UserError(f"{problem}; the same command goes on when the store can be written")
    return judge(declared(record, name)[0], with_core(runs), looks)[0]
