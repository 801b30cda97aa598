"""Which claims are tested at a look, and what looks before it have decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from unlabeled.dashboards import counted
from unlabeled.dashboards.comparisons import Tables, compare, identity, pairs_of
from unlabeled.dashboards.decisions import Judged, best_in_set
from unlabeled.dashboards.rates import Design, Look, decided_before, tested_before
from unlabeled.platform.metrics import BEST

TESTED_BEFORE = "it was tested with as many seeds before, and is tested again when there are more"
OTHERS_OUT = "the first look is made when all rows have their declared seeds"


@dataclass(frozen=True)
class AtLook:
    """Claims at a look.

    Attributes:
        judged: each claim with what was measured of it.
        names: what each is known by, see :func:`digests_of`.
        before: name -> what the first look said that has decided it, of all looks.
        older: the same of the looks before this one.
    """

    judged: list[Judged]
    names: list[str]
    before: Mapping[str, Mapping[str, Any]]
    older: Mapping[str, Mapping[str, Any]]


def at_look(
    claims: Sequence[Mapping[str, Any]],
    tables: Tables,
    runs: pd.DataFrame,
    design: Design | None,
    looks: Sequence[Look],
    rows: Sequence[str],
) -> AtLook:
    """Compare what the claims compare, and see which are tested.

    A claim is tested once with each number of seeds. A look at the same claims with as many runs is this one, made
    again. The first look is made when all rows have its seeds, finished or failed.
    """
    digests, done = digests_of(runs), counted.counted(runs)
    names = [identity(claim, digests) for claim in claims]
    pairs = [pairs_of(claim, tables) if claim["kind"] == BEST else {} for claim in claims]
    compared = [
        best_in_set(claim, of_claim) if of_claim else compare(claim, tables)
        for claim, of_claim in zip(claims, pairs, strict=True)
    ]
    counts = {name: one.n for name, one in zip(names, compared, strict=True)}
    again = [place for place, look in enumerate(looks) if (look.counts, look.runs) == (counts, len(done))]
    elder = looks[: again[-1]] if again else looks
    tested = tested_before(elder)
    waits = design is not None and _are_out(rows, runs, design.first)
    judged = []
    for claim, name, one, of_claim in zip(claims, names, compared, pairs, strict=True):
        its = design or Design(one.n, fixed=True)
        closed = TESTED_BEFORE if (name, one.n) in tested else OTHERS_OUT if waits and one.n == its.first else ""
        judged.append(Judged(claim, one, of_claim, its, closed))
    return AtLook(judged, names, decided_before(looks), decided_before(elder))


def digests_of(runs: pd.DataFrame) -> dict[str, str]:
    """Return row -> what tells its settings apart from those that it had under the same name."""
    done = counted.counted(runs)
    known = done[done["row_digest"].notna()]
    return {str(row): str(digest) for row, digest in zip(known["row"], known["row_digest"], strict=True)}


def _are_out(rows: Sequence[str], runs: pd.DataFrame, first: int) -> bool:
    """Tell whether runs of the first look are out: rows without so many seeds that have finished or failed."""
    ended = runs[runs["status"].isin(("FINISHED", "FAILED"))]
    have = ended.groupby("row")["seed"].nunique()
    return any(int(have.get(row, 0)) < first for row in rows)
