"""``unlabeled study run --until-decided``: more seeds, for the rows of open claims, until the claims are decided."""

import functools
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlabeled.platform.cli.declared import say_beside, say_text
from unlabeled.platform.cli.sweeping import leave_if_stopped, recording, say_done, start
from unlabeled.platform.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from unlabeled.dashboards.rounds import Round
    from unlabeled.dashboards.verdicts import Verdict
    from unlabeled.platform.config import RunConfig
    from unlabeled.platform.drive.budget import Budget
    from unlabeled.platform.drive.recorder import Outcome
    from unlabeled.platform.study import PlannedRun, Study

MAX_SEEDS = 20


def check_decidable(study: "Study", max_seeds: int) -> None:
    """Refuse a study, or a number of seeds, with which no claim can be decided by more seeds.

    Raises:
        UserError: it is so.
    """
    from unlabeled.dashboards.rates import MOST_SEEDS

    if not study.claims:
        raise UserError(f"{study.name} declares no claims, so there is nothing to decide; leave --until-decided out")
    if study.fixed:
        raise UserError(
            f"{study.name} is declared to be decided by its {len(study.seeds)} seeds alone (fixed), so more would "
            "decide nothing; leave --until-decided out"
        )
    if not max(2, len(study.seeds)) <= max_seeds <= MOST_SEEDS:
        raise UserError(
            f"--max-seeds is at least {max(2, len(study.seeds))} here, for the declared seeds, and at most "
            f"{MOST_SEEDS}, beyond which nothing new is decided, got {max_seeds}"
        )


def run_until_decided(
    study: "Study",
    base: "RunConfig",
    profile: str,
    home: Path | None,
    resources: Any,
    max_seeds: int,
    budget: float,
    how: Any = None,
) -> "Outcome":
    """Run the declared seeds, then more for the rows of open claims, and look after each round.

    Every look is recorded before it is told, so a command that is killed goes on where it was, in whichever process.

    Args:
        study: what is asked.
        base: what its rows are made from.
        profile: its scale.
        home: where it is kept.
        resources: where and how wide it runs.
        max_seeds: that a row may have.
        budget: seconds that it may take; runs that can't be expected to end within it are not begun.
        how: a context that does recorders' runs; :class:`unlabeled.platform.drive.sweep.Sweeps` where it is None.

    Raises:
        UserError: a run doesn't fit, or a look can't be recorded.
    """
    from unlabeled.dashboards import frames
    from unlabeled.dashboards.detectable import seconds_of
    from unlabeled.dashboards.looking import judged_on_record
    from unlabeled.dashboards.rounds import next_round
    from unlabeled.platform.drive.budget import Budget
    from unlabeled.platform.drive.recorder import Outcome
    from unlabeled.platform.drive.sweep import Sweeps
    from unlabeled.platform.study import PlannedRun
    from unlabeled.platform.track import Store
    from unlabeled.platform.train.loaded import identify

    time, total, failed = Budget(budget), Outcome(), set[str]()
    base, planned, place = start(study, base, profile, home, resources)
    configs, store = {run.row: run.config for run in planned}, Store(place)
    digests = {row: identify(config).row for row, config in configs.items()}
    with how or Sweeps(resources) as run:
        for number in range(1, max_seeds * len(configs) + 2):  # each round has a run at least
            recorder, display = recording(study, planned, base, place, profile, time, total.base)
            total.base = recorder.base_identity
            read = functools.partial(frames.of_base, store, study.name, total.base, digests)
            if number == 1:
                say_done(recorder, place)
                time.learn(seconds_of(read()))
            outcome: Outcome = run(recorder, display)
            _add(total, outcome, is_first=number == 1)
            leave_if_stopped(outcome)
            logged = read()
            judged = judged_on_record(store, study.name, recorder.log.record, logged)
            failed |= _failed(logged, planned)
            more = next_round(
                judged, logged, study.seeds, max_seeds, without=failed, time=time.left, at_once=run.at_once
            )
            is_spent = bool(outcome.left_out) or (more.too_long is not None)
            if is_spent or not more.runs:
                break
            _say_round(number, judged, more, time)
            planned = [
                PlannedRun(row=row, seed=seed, config=configs[row].with_field("seed", seed)) for row, seed in more.runs
            ]
    _say_end(judged, more, time, max_seeds, failed, is_spent)
    return total


def _failed(logged: "pd.DataFrame", planned: "Sequence[PlannedRun]") -> set[str]:
    """Return the rows of which a run failed among those that were planned."""
    if logged.empty:
        return set()
    asked = {(run.row, run.seed) for run in planned}
    failed = logged[logged["status"] == "FAILED"]
    return {str(row) for row, seed in zip(failed["row"], failed["seed"], strict=True) if (row, seed) in asked}


def _add(total: "Outcome", more: "Outcome", is_first: bool) -> None:
    """Count a round's runs among those of the command; what was done before is what was before its first round."""
    total.skipped += more.skipped * is_first
    total.finished += more.finished
    total.failed += more.failed
    total.elsewhere += more.elsewhere
    total.left_out += more.left_out
    total.notes += more.notes


def _say_round(number: int, judged: "Sequence[Verdict]", more: "Round", time: "Budget") -> None:
    """Say which claims are open, what is run for them, and how long that takes."""
    from unlabeled.dashboards.power import seeds_in_words
    from unlabeled.dashboards.wording import count
    from unlabeled.platform.metrics import duration

    open_ = [one for one in judged if one.decision == "not decided"]
    served = {id(need.verdict) for need in more.needs}
    print(f"\nround {number}: {len(open_)} of {count(len(judged), 'claim')} {'is' if len(open_) == 1 else 'are'} open")
    for one in open_:
        expects = f"with {count(one.n, 'seed')}; {seeds_in_words(one.seeds_to_decide)} would decide"
        say_beside("", f"{one.claim['statement']} Not decided {expects}{'' if id(one) in served else '; waits'}.", 2)
    for seeds, rows in more.by_seeds.items():
        named = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        say_beside("  +", f"{named} for {', '.join(rows)}", 4)
    left = f" of the {duration(time.left)} that are left" if time.left < math.inf else ""
    say_beside("", f"{count(len(more.runs), 'run')}, about {duration(more.seconds)}{left}", 2)
    sys.stdout.flush()


def _say_end(
    judged: "Sequence[Verdict]", more: "Round", time: "Budget", max_seeds: int, failed: set[str], is_spent: bool
) -> None:
    """Say the verdicts, and why no more is run where claims are open."""
    from unlabeled.dashboards.wording import count
    from unlabeled.platform.metrics import duration

    open_ = [one for one in judged if one.decision == "not decided"]
    print(f"\n{len(judged) - len(open_)} of {count(len(judged), 'claim')} decided, after {duration(time.spent)}")
    if not open_:
        return
    if is_spent:
        shortest = f": the next round takes about {duration(more.too_long)}" if more.too_long else ""
        say_text(f"stopped, because no run can be expected to end in the {duration(time.left)} left{shortest}")
        print("the same command, with another --budget, goes on from here")
    elif failed:
        say_text(f"stopped, because runs of {', '.join(sorted(failed))} failed, which open claims need")
    else:
        say_text(f"stopped at the {max_seeds} seeds that --max-seeds allows a row; what is open needs more")
    sys.stdout.flush()


def parse_budget(text: str) -> float:
    """Read ``--budget``: seconds.

    >>> parse_budget("90m"), parse_budget("1h30m"), parse_budget("45s")
    (5400.0, 5400.0, 45.0)
    """
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip())
    if not match or not any(match.groups()):
        raise UserError(f"--budget takes a time such as 45m, 2h or 1h30m, got {text!r}")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    found = 3600 * hours + 60 * minutes + seconds
    if found <= 0:
        raise UserError(f"--budget must be more than no time, got {text!r}; such as 45m, 2h or 1h30m")
    return found
