"""A study as its runs recorded it, read whatever version wrote it: what can't be read is named, never filled in."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unlabeled.platform.metrics import (
    BEST,
    COLLAPSE,
    DIFFERENCE,
    DOUBLE_DIFFERENCE,
    NEGLIGIBLE,
    NO_DIFFERENCE,
    ORDER,
    unit_of,
)

NO_RECORD = (
    "No study.json was found with its runs, so only the runs themselves can be shown: none was logged, or the place of "
    "the store's artifacts can't be reached."
)
_TEXTS = ("question", "source", "expected", "cost", "profile", "measure")
_PUBLISHED = ("source", "setting", "quantity", "rows", "measure")
_NAMES = ("order", "best", "among")
_NEEDS = {
    DIFFERENCE: (),
    NO_DIFFERENCE: (),
    DOUBLE_DIFFERENCE: ("than",),
    ORDER: ("order",),
    BEST: ("best", "among"),
    COLLAPSE: ("lower_measure",),
}
"""Kind of claim -> what it has beside; a kind that is not here is a later version's, and can't be judged."""
_CLAIM = ("statement", "higher", "lower", "measure", "at_least")


def declared(found: Mapping[str, Any] | None, study: str = "") -> tuple[dict[str, Any], list[str]]:
    """Return a study's record with every part that a report asks for, and what it lacks, in sentences.

    An absent text is empty, an absent list has nothing in it. A claim or a published table that can't be read as a
    whole is left out and named.

    Args:
        found: the logged ``study.json``; None or empty where none was found.
        study: its name, where the record has none.
    """
    if not isinstance(found, Mapping) or not found:
        found, gaps = {}, [NO_RECORD]
    else:
        gaps = [f"Its record has no {name}." for name in _TEXTS if not isinstance(found.get(name), str)]
    record: dict[str, Any] = {name: found[name] if isinstance(found.get(name), str) else "" for name in _TEXTS}
    record["name"] = found["name"] if isinstance(found.get("name"), str) else study

    def part(name: str, kind: Callable[[Any], bool], empty: Any) -> Any:
        value = found.get(name, empty)
        if found and (name not in found or not kind(value)):
            gaps.append(f"Its record has no {name}{'' if name not in found else ' in a form that can be read'}.")
        return value if kind(value) else empty

    record["rows"] = part("rows", _is_rows, {})
    record["seeds"] = part("seeds", lambda value: _is_list(value) and all(isinstance(s, int) for s in value), [])
    record["fixed"] = found.get("fixed") is True  # it came later
    record["also"] = part("also", lambda value: _is_list(value) and all(isinstance(m, str) for m in value), [])
    tables = part("published", _is_list, [])
    record["published"] = [_as_published(table) for table in tables if _is_published(table)]
    for number, table in enumerate(tables, start=1):
        if not _is_published(table):
            gaps.append(f"Published table {number} lacks {_lacks(table, _PUBLISHED)}, and is left out.")
    claims = part("claims", _is_list, [])
    record["claims"] = [_as_claim(claim) for claim in claims if _is_claim(claim)]
    for number, claim in enumerate(claims, start=1):
        if not _is_claim(claim):
            words = claim.get("statement") if isinstance(claim, Mapping) else None
            name = f"“{words}”" if isinstance(words, str) else f"Claim {number}"
            gaps.append(f"{name} lacks {_lacks(claim, _CLAIM)}, so it can't be judged.")
    if record["rows"]:
        gaps += [
            f"“{claim['statement']}” compares the row {row!r}, which the study does not have."
            for claim in record["claims"]
            for row in dict.fromkeys([claim["higher"], claim["lower"], *_further(claim)])
            if row not in record["rows"]
        ]
    return record, gaps


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_rows(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(fields, Mapping) for fields in value.values())


def _is_published(table: Any) -> bool:
    return (
        isinstance(table, Mapping)
        and all(isinstance(table.get(name), str) for name in _PUBLISHED if name != "rows")
        and isinstance(table.get("rows"), Mapping)
    )


def _as_published(table: Mapping[str, Any]) -> dict[str, Any]:
    return {**table, "rows": {str(row): str(number) for row, number in table["rows"].items()}}


def _is_claim(claim: Any) -> bool:
    return (
        isinstance(claim, Mapping)
        and all(isinstance(claim.get(name), str) for name in _CLAIM[:-1])
        and _is_number(claim.get("at_least"))
        and _is_number(claim.get("published_difference") or 0.0)
        and claim.get("kind", DIFFERENCE) in tuple(_NEEDS)
        and _is_pair(claim.get("than"))
        and _is_number(claim.get("negligible") or 0.0)
        and all(_is_names(claim.get(name)) for name in _NAMES)
        and all(claim.get(name) for name in _NEEDS[claim.get("kind", DIFFERENCE)])
    )


def _further(claim: Mapping[str, Any]) -> list[str]:
    return [row for name in ("than", *_NAMES) for row in claim[name] or ()]


def _is_names(value: Any) -> bool:
    return value is None or (_is_list(value) and all(isinstance(row, str) for row in value))


def _is_pair(value: Any) -> bool:
    return value is None or (_is_list(value) and len(value) == 2 and all(isinstance(row, str) for row in value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _as_claim(claim: Mapping[str, Any]) -> dict[str, Any]:
    of_lower = claim.get("lower_measure") or claim["measure"]  # claims of two measures came later
    texts = {name: value if isinstance(value := claim.get(name), str) else "" for name in ("source", "published")}
    defaults = {"kind": DIFFERENCE, "than": None, "published_difference": None, **dict.fromkeys(_NAMES)}
    if (negligible := claim.get("negligible")) is None:
        negligible = NEGLIGIBLE if unit_of(claim["measure"]).is_fraction else 0.0
    return {**defaults, **claim, **texts, "lower_measure": of_lower, "negligible": negligible}


def _lacks(part: Any, names: Sequence[str]) -> str:
    absent = [name for name in names if name not in part] if isinstance(part, Mapping) else []
    return " and ".join(absent) or "a form that can be read"
