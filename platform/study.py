"""A study: one question, the runs that answer it, and how the answer is read and judged."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import to_jsonable_python

from unlabeled.platform.config import RunConfig
from unlabeled.platform.errors import UserError, lookup, unknown
from unlabeled.platform.metrics import DIFFERENCE, OURS
from unlabeled.platform.settings import Settings, plain_value


class Claim(Settings):
    """A statement as a comparison of two rows, judged on differences paired by seed.

    Attributes:
        statement: what the source says, in a sentence.
        source: where it says so; ``OURS`` where no paper does.
        higher: the row that should measure more.
        lower: the row that should measure less.
        at_least: by how much, in the measure's own unit (0.03 of a ``top1`` is three points); 0 asks for the direction
            only.
        measure: the metric that it is about; empty is the study's measure.
        lower_measure: the metric that the lower row is read by, where that is another one: a layer against the next.
        kind: what is compared: ``difference`` is higher minus lower; ``difference of differences`` says that it is
            larger than that of the pair ``than``; ``no difference`` says that the two hardly differ. Only the first is
            judged today, the others are declared and stay open.
        than: the higher and the lower row of a second pair.
        published: the difference as published, in the source's words; empty for a claim of ours.
        published_difference: the same as a number, in the measure's own unit; None where the source gives none.
    """

    statement: str
    source: str
    higher: str
    lower: str
    at_least: float = Field(default=0.0, ge=0.0)
    measure: str = ""
    lower_measure: str = ""
    kind: Literal["difference", "difference of differences", "no difference"] = DIFFERENCE
    than: tuple[str, str] | None = None
    published: str = ""
    published_difference: float | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.than is not None) != (self.kind == "difference of differences"):
            raise ValueError(f"a claim on a {self.kind} has {'no second pair' if self.than else 'a second pair: than'}")
        if self.than == (self.higher, self.lower):
            raise ValueError(f"a difference is not larger than itself: both pairs are {self.higher} and {self.lower}")
        if self.kind == "no difference" and self.at_least:
            raise ValueError(f"a claim on no difference asks for none, got at_least {self.at_least}")
        if self.source == OURS and (self.published or self.published_difference is not None):
            raise ValueError("a claim of ours has nothing published; name the source, or leave published out")
        return self

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows that it compares."""
        return (self.higher, self.lower, *(self.than or ()))


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
        scaled: profile -> row -> the fields that the row sets otherwise at that scale: a laptop's large batch is not a
            cluster's.
        seeds: each row runs once per seed.
        measure: the metric that answers the question; its name tells its unit (see ``platform.metrics``).
        also: further metrics that the report shows like it.
        published: the numbers to stand beside, of each measure that has any.
        claims: what the source concludes, and what is asked here by ourselves.
    """

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    question: str = Field(pattern=r"\?$")
    source: str
    expected: str
    cost: str
    profiles: Mapping[str, RunConfig] = Field(min_length=1)
    rows: Mapping[str, Mapping[str, Any]] = {}
    vary: Mapping[str, tuple[Any, ...]] = {}
    scaled: Mapping[str, Mapping[str, Mapping[str, Any]]] = {}
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
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
            of_claims = (measure for claim in self.claims for measure in (claim.measure, claim.lower_measure))
            known = {*self.measures, *(measure.replace("test/", "untrained/", 1) for measure in self.measures)}
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
        """List the runs around a base at a scale, seed by seed: an unfinished study has whole sets of rows."""
        rows = list(self._configs(base, profile))
        return [
            PlannedRun(row=row, seed=seed, config=config.with_field("seed", seed))
            for seed in self.seeds
            for row, config in rows
        ]

    def record(self, profile: str) -> dict[str, Any]:
        """Return what a report needs to know of the study, as JSON values; it is logged with every run."""
        record = self.model_dump(mode="json", exclude={"profiles", "rows", "vary", "scaled"})
        for part in (*record["claims"], *record["published"]):
            part["measure"] = part["measure"] or self.measure
        for claim in record["claims"]:
            claim["lower_measure"] = claim["lower_measure"] or claim["measure"]
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
