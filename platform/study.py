"""A study: one question, the runs that answer it, and how the answer is read and judged."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from unlabeled.platform.config import RunConfig
from unlabeled.platform.errors import UserError, unknown
from unlabeled.platform.settings import Settings


class Claim(Settings):
    """A published statement as a comparison of two rows, judged on differences paired by seed.

    Attributes:
        statement: what the source says, in a sentence.
        source: where it says so.
        better: the row that should score higher.
        worse: the row that should score lower.
        at_least: by how much, as a fraction (0.03 is three points); 0 asks for the direction only.
        published: the difference as published, in the source's words.
    """

    statement: str
    source: str
    better: str
    worse: str
    at_least: float = Field(default=0.0, ge=0.0, le=1.0)
    published: str = ""


class Published(Settings):
    """The published numbers that stand beside the measured rows.

    Attributes:
        source: paper, table or figure.
        setting: data, encoder and budget that they were measured with.
        quantity: what the numbers are, with their unit.
        rows: the study's row -> the number as printed there.
    """

    source: str
    setting: str
    quantity: str
    rows: Mapping[str, str]


class PlannedRun(Settings):
    """One run of a study: which row and seed it measures, and its complete configuration."""

    row: str
    seed: int
    config: RunConfig

    @property
    def name(self) -> str:
        """The run's name for people: its row and seed."""
        return f"{self.row} seed {self.seed}"


class Study(Settings):
    """Rows of runs around a base, checked when declared: a wrong path or row name fails at import.

    Attributes:
        name: slug; also the MLflow experiment's name and the report's folder.
        question: one sentence that ends in a question mark; the report's title.
        source: the papers and sections that ask it.
        expected: the trend that the source reports.
        cost: runs times minutes, on what.
        profiles: the base run at each scale: ``laptop``, ``workstation``, ``cluster``.
        rows: row name -> the fields it sets, by dotted path. Give these or ``vary``.
        vary: dotted path -> the values it takes; their product is the rows.
        seeds: each row runs once per seed.
        measure: the metric that answers the question, a fraction in [0, 1].
        published: the numbers to stand beside, if there are any.
        claims: what the source concludes.
    """

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    question: str = Field(pattern=r"\?$")
    source: str
    expected: str
    cost: str
    profiles: Mapping[str, RunConfig] = Field(min_length=1)
    rows: Mapping[str, Mapping[str, Any]] = {}
    vary: Mapping[str, tuple[Any, ...]] = {}
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    measure: str = "test/linear/top1"
    published: Published | None = None
    claims: tuple[Claim, ...] = ()

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
            for base in self.profiles.values():
                configs: dict[RunConfig, str] = {}
                for row, config in self._configs(base):
                    if config in configs:
                        raise UserError(f"the rows {configs[config]!r} and {row!r} are the same run")
                    configs[config] = row
            named = {row for claim in self.claims for row in (claim.better, claim.worse)}
            for row in sorted(named | set(self.published.rows if self.published else ())):
                if row not in self.row_settings():
                    raise unknown("row", row, self.row_settings())
        except UserError as error:
            raise ValueError(str(error)) from None
        return self

    def row_settings(self) -> Mapping[str, Mapping[str, Any]]:
        """Return row name -> the fields it sets, in reading order; a grid's rows are named by their values."""
        if self.rows:
            return self.rows
        points = [dict(zip(self.vary, point, strict=True)) for point in itertools.product(*self.vary.values())]
        return {", ".join(f"{path.rpartition('.')[2]} {value}" for path, value in p.items()): p for p in points}

    def base(self, profile: str, changes: Mapping[str, Any] | None = None) -> RunConfig:
        """Return the run that the rows are made from, at a scale, with ``changes`` (path -> value) set on it.

        Raises:
            UserError: no such profile, a path names no field, a value is not allowed, or a row would undo a change.
        """
        if profile not in self.profiles:
            raise unknown(f"profile of {self.name}", profile, self.profiles)
        base = self.profiles[profile]
        varied = {path for fields in self.row_settings().values() for path in fields}
        for path, value in (changes or {}).items():
            if path == "seed":
                raise UserError("a study's runs have a seed each; choose them with --seeds")
            if path in varied:
                raise UserError(
                    f"{path} is what {self.name} varies, so setting it would be ignored; change another field"
                )
            base = base.with_field(path, value)
        return base

    def runs(self, base: RunConfig) -> list[PlannedRun]:
        """List the runs around a base, seed by seed, so that an unfinished study has whole sets of rows to compare."""
        rows = list(self._configs(base))
        return [
            PlannedRun(row=row, seed=seed, config=config.with_field("seed", seed))
            for seed in self.seeds
            for row, config in rows
        ]

    def record(self, profile: str) -> dict[str, Any]:
        """Return what a report needs to know of the study, as JSON values; it is logged with every run."""
        record = self.model_dump(mode="json", exclude={"profiles", "rows", "vary"})
        rows = {row: dict(fields) for row, fields in self.row_settings().items()}
        return {**record, "profile": profile, "rows": rows}

    def _configs(self, base: RunConfig) -> Iterator[tuple[str, RunConfig]]:
        for row, fields in self.row_settings().items():
            config = base
            for path, value in fields.items():
                config = config.with_field(path, value)
            yield row, config
