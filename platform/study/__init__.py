"""A study: one question, the runs that answer it, and how the answer is read and judged."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import to_jsonable_python

from unlabeled.platform.config import RunConfig
from unlabeled.platform.errors import UserError, lookup, unknown
from unlabeled.platform.metrics import COLLAPSE, NO_DIFFERENCE, OURS
from unlabeled.platform.settings import Settings, plain_value
from unlabeled.platform.study.claim import Claim, untrained
from unlabeled.platform.study.question import Question

__all__ = ["OURS", "Claim", "PlannedRun", "Published", "Study"]


class Published(Settings):
    """The published numbers that stand beside the measured rows.

    Attributes:
        source: paper, table or figure.
        setting: data, encoder and budget that they were measured with.
        quantity: what the numbers are, with their unit.
        rows: the study's row -> the number as printed there.
        others: what is printed there of what no row here stands for, by its name there.
        measure: the metric that they stand beside; empty is the study's measure. The first of a measure stands beside
            each row, further ones below.
    """

    source: str
    setting: str
    quantity: str
    rows: Mapping[str, str]
    others: Mapping[str, str] = {}
    measure: str = ""


class PlannedRun(Settings):
    """One run of a study: which row and seed it measures, and its complete configuration."""

    row: str
    seed: int
    config: RunConfig

    @property
    def name(self) -> str:
        """The run's name for people: its row and seed."""
        return f"{self.row} seed {self.seed}"


class Study(Question):
    """Rows of runs around a base, checked when declared: a wrong path or row name fails at import.

    Attributes:
        rows: row name -> the fields it sets, by dotted path. Give these or ``vary``.
        vary: dotted path -> the values it takes; their product is the rows.
        scaled: profile -> row -> the fields that the row sets otherwise at that scale: a laptop's large batch is not a
            cluster's.
        seeds: each row runs once per seed.
        fixed: the seeds are all that its claims will ever be judged by, so the first look spends all of the error rate;
            else some is kept for looks at more seeds.
        measure: the metric that answers the question; its name tells its unit (see ``platform.metrics``).
        also: further metrics that the report shows like it.
        published: the numbers to stand beside, of each measure that has any.
        claims: what the source concludes, and what is asked here by ourselves.
    """

    rows: Mapping[str, Mapping[str, Any]] = {}
    vary: Mapping[str, tuple[Any, ...]] = {}
    scaled: Mapping[str, Mapping[str, Mapping[str, Any]]] = {}
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    fixed: bool = False
    measure: str = "test/linear/top1"
    also: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    claims: tuple[Claim, ...] = ()

    @field_validator("rows", "vary", "scaled", "seeds", mode="before")
    @classmethod
    def _can_be_recorded(cls, value: Any) -> Any:
        return plain_value(value)

    @field_validator("seeds")
    @classmethod
    def _no_seed_twice(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"seeds must differ from each other, got {seeds}")
        return seeds

    @model_validator(mode="after")
    def _rows_and_claims_exist(self) -> Self:
        if bool(self.rows) == bool(self.vary):
            raise ValueError("a study declares either rows or vary")
        try:
            for profile, scaled in self.scaled.items():
                if profile not in self.profiles:
                    raise unknown("profile", profile, self.profiles)
                for row in scaled:
                    if row not in self.row_settings():
                        raise unknown("row", row, self.row_settings())
            for profile, base in self.profiles.items():
                configs: dict[RunConfig, str] = {}
                for row, config in self._configs(base, profile):
                    if config in configs:
                        raise UserError(f"the rows {configs[config]!r} and {row!r} are the same run")
                    configs[config] = row
            named = {row for claim in self.claims for row in claim.rows}
            for row in sorted(named.union(*(published.rows for published in self.published))):
                if row not in self.row_settings():
                    raise unknown("row", row, self.row_settings())
            for claim in self.claims:
                limit = claim.record(self.measure, tuple(self.row_settings()))["negligible"]
                if claim.kind in (NO_DIFFERENCE, COLLAPSE) and not limit:
                    raise UserError(f"a claim on {claim.kind} in {claim.measure} says what is negligible")
            of_claims = (measure for claim in self.claims for measure in (claim.measure, claim.lower_measure))
            known = {*self.measures, *(untrained(measure) for measure in self.measures)}
            for measure in sorted({*of_claims, *(p.measure for p in self.published)} - {"", *known}):
                raise unknown("measure", measure, known)
        except UserError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def measures(self) -> tuple[str, ...]:
        """The metrics that the report is about, the one that answers the question first."""
        return (self.measure, *self.also)

    def row_settings(self, profile: str = "") -> Mapping[str, Mapping[str, Any]]:
        """Return row name -> the fields it sets at a scale, in reading order; a grid names its rows by their values."""
        if self.rows:
            scaled = self.scaled.get(profile, {})
            return {row: {**fields, **scaled.get(row, {})} for row, fields in self.rows.items()}
        points = [dict(zip(self.vary, point, strict=True)) for point in itertools.product(*self.vary.values())]
        return {", ".join(f"{path.rpartition('.')[2]} {value}" for path, value in p.items()): p for p in points}

    def base(self, profile: str, changes: Mapping[str, Any] | None = None) -> RunConfig:
        """Return the run that the rows are made from, at a scale, with ``changes`` (path -> value) set on it.

        Raises:
            UserError: no such profile, a path names no field, a value is not allowed, or a row would undo a change.
        """
        base = lookup(f"profile of {self.name}", profile, self.profiles)
        varied = {path for fields in self.row_settings(profile).values() for path in fields}
        for path, value in (changes or {}).items():
            if path == "seed":
                raise UserError("a study's runs have a seed each; choose them with --seeds")
            if any(path == other or path.startswith(f"{other}.") for other in varied):
                raise UserError(
                    f"{path} is what {self.name} varies, so setting it would be ignored; change another field"
                )
            base = base.with_field(path, value)
        return base

    def runs(self, base: RunConfig, profile: str = "") -> list[PlannedRun]:
        """List the runs around a base at a scale, seed by seed: an unfinished study has whole sets of rows.

        Raises:
            UserError: what is set on the base makes two rows the same run.
        """
        rows = list(self._configs(base, profile))
        same: dict[str, str] = {}
        for row, config in rows:
            if (other := same.setdefault(config.digest(), row)) != row:
                raise UserError(
                    f"the rows {other!r} and {row!r} of {self.name} are the same run with what is set; "
                    "change another field"
                )
        return [
            PlannedRun(row=row, seed=seed, config=config.with_field("seed", seed))
            for seed in self.seeds
            for row, config in rows
        ]

    def record(self, profile: str) -> dict[str, Any]:
        """Return what a report needs to know of the study, as JSON values; it is logged with every run."""
        record = self.model_dump(mode="json", exclude={"profiles", "rows", "vary", "scaled"})
        for part in record["published"]:
            part["measure"] = part["measure"] or self.measure
        names = tuple(self.row_settings(profile))
        record["claims"] = [claim.record(self.measure, names) for claim in self.claims]
        rows = {
            row: to_jsonable_python(dict(fields), serialize_as_any=True)
            for row, fields in self.row_settings(profile).items()
        }
        return {**record, "profile": profile, "rows": rows}

    def _configs(self, base: RunConfig, profile: str) -> Iterator[tuple[str, RunConfig]]:
        for row, fields in self.row_settings(profile).items():
            config = base
            for path, value in fields.items():
                config = config.with_field(path, value)
            yield row, config
