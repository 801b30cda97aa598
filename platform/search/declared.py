"""A search: one question, the space around a base run, what is better, and what may not be: a declared value."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from unlabeled.platform.config import RunConfig
from unlabeled.platform.errors import UserError, lookup, unknown
from unlabeled.platform.metrics import in_area, metric_of
from unlabeled.platform.search.space import Ask, Dimension
from unlabeled.platform.settings import Settings
from unlabeled.platform.study.question import Question

IMAGES_SEEN = "search/images_seen"
_COMPUTE = (IMAGES_SEEN, "system/cpu_seconds", "system/wall_seconds", "system/peak_memory_mb")
_FIXED = {
    "seed": "the best points are repeated over further seeds by themselves",
    "data": "scores on other data do not compare",
    "evaluation": "it decides what the score is",
}


class Objective(Settings):
    """A metric, and which way is better; where the metric says that itself, it need not be said again."""

    metric: str
    direction: Literal["maximize", "minimize"] = "maximize"

    @model_validator(mode="before")
    @classmethod
    def _the_metric_knows_the_direction(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "direction" in value or "metric" not in value:
            return value
        better = metric_of(str(value["metric"])).direction
        if better is None:
            raise ValueError(f"whether more or less {value['metric']} is better is not known; give its direction")
        return {**value, "direction": "maximize" if better == "higher" else "minimize"}

    def better(self, values: Mapping[int, float]) -> list[int]:
        """Sort keys by their values, the best first; of equals, the earlier key."""
        sign = -1.0 if self.direction == "maximize" else 1.0
        return sorted(values, key=lambda key: (sign * values[key], key))


class Constraint(Settings):
    """What holds for every run that is trained.

    Attributes:
        sentence: the rule as people read it.
        holds: whether a run keeps it; a function of a module, because processes can't share a lambda.
    """

    sentence: str
    holds: Callable[[RunConfig], bool] = Field(exclude=True)


class Search(Question):
    """A space of runs around a base, checked when declared: a wrong path, range or metric fails at import.

    Attributes:
        space: dotted path of a field -> what it may be. They are set in this order.
        constraints: rules over several fields. A point that breaks one is never trained, and the sampler is told.
        objective: what to choose by: a metric of the validation split, or of label-free health.
        second: what to weigh it against; then there is no best trial but a Pareto front.
        prune_on: the metric of each epoch by which hopeless trials are stopped.
        trials: how many points are trained, unless the command says otherwise.
        best: how many of them are repeated.
        further_seeds: over how many seeds, none of them a trial's. The winner is then measured over as many others.
    """

    space: Mapping[str, Dimension]
    constraints: tuple[Constraint, ...] = ()
    objective: Objective = Objective(metric="validation/linear/top1")
    second: Objective | None = None
    prune_on: str = "knn/top1"
    trials: int = Field(default=30, ge=1)
    best: int = Field(default=3, ge=0)
    further_seeds: int = Field(default=3, ge=0)

    @model_validator(mode="after")
    def _space_and_metrics_fit_the_bases(self) -> Self:
        if not self.space:
            raise ValueError("space is empty: a search varies at least one field; name its path and what it may be")
        if bool(self.best) != bool(self.further_seeds):
            raise ValueError(
                f"best {self.best} over {self.further_seeds} further seeds repeats nothing; set both to 0, or neither"
            )
        try:
            self._check_paths()
            for base in self.profiles.values():
                self._check_corners(base)
                self._check_metrics(base)
        except UserError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The objective, and the second where there is one."""
        return (self.objective, *([self.second] if self.second else []))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of all sampled parameters: paths, and a composition's own."""
        return tuple(name for path, dimension in self.space.items() for name in dimension.parameters(path))

    def base(self, profile: str, changes: Mapping[str, Any] | None = None) -> RunConfig:
        """Return the run around which is searched, at a scale, with ``changes`` (path -> value) set on it.

        Raises:
            UserError: no such profile, a path names no field, a value is not allowed, or the search would undo it.
        """
        base = lookup(f"profile of {self.name}", profile, self.profiles)
        for path, value in (changes or {}).items():
            for searched in self.space:
                if _overlap(path, searched):
                    raise UserError(
                        f"{searched} is what {self.name} searches, so setting {path} would be ignored; change another "
                        "field"
                    )
            base = base.with_field(path, value)
        if changes:
            self._check_corners(base)
            self._check_metrics(base)
        return base

    def with_fields(self, fields: Mapping[str, Any]) -> Self:
        """Return a copy with several fields changed at once, checked like any other search.

        Raises:
            UserError: a value is not allowed.
        """
        return type(self).checked(**{name: getattr(self, name) for name in type(self).model_fields} | dict(fields))

    def draw(self, ask: Ask) -> dict[str, Any]:
        """Ask for a point: path -> value."""
        return {path: dimension.draw(path, ask) for path, dimension in self.space.items()}

    def run_at(self, base: RunConfig, point: Mapping[str, Any]) -> RunConfig:
        """Return the run at a point, measured on validation alone.

        Raises:
            UserError: the fields do not go together.
        """
        run = validated_only(base)
        for path, value in point.items():
            run = run.with_field(path, value)
        return run

    def broken(self, run: RunConfig) -> list[str]:
        """Return the sentences of the constraints that a run breaks."""
        return [constraint.sentence for constraint in self.constraints if not constraint.holds(run)]

    def space_digest(self) -> str:
        """Return 16 hexadecimal digits for space and objectives: trials of equal ones teach a sampler the same."""
        dump = self.model_dump(mode="json", serialize_as_any=True, include={"space", "objective", "second"})
        return _Identity(value=dump).digest()

    def record(self, profile: str) -> dict[str, Any]:
        """Return what a page needs to know of the search, as JSON values; it is logged with every run."""
        record = self.model_dump(mode="json", serialize_as_any=True, exclude={"profiles"})
        return {
            **record,
            "kind": "search",
            "profile": profile,
            "parameters": list(self.parameters),
            "measure": self.objective.metric,
            "claims": [],
        }

    def _check_paths(self) -> None:
        paths = list(self.space)
        for place, path in enumerate(paths):
            why = _FIXED.get(path.partition(".")[0])
            if why:
                raise UserError(f"{path} can't be searched: {why}; take it out of the space")
            for other in paths[:place]:
                if path.startswith(f"{other}.") or other.startswith(f"{path}."):
                    raise UserError(f"{other} and {path} set the same field; leave one of them out")
        names = self.parameters
        if len(set(names)) < len(names):
            raise UserError(f"two dimensions ask for the same name: {', '.join(names)}")

    def _check_corners(self, base: RunConfig) -> None:
        """Set every extreme of every dimension, each after the fields that come before it."""
        for path, dimension in self.space.items():
            corners = dimension.corners()
            for value in corners:
                base.with_field(path, value)
            base = base.with_field(path, corners[0])

    def _check_metrics(self, base: RunConfig) -> None:
        scores = [*base.evaluation.validated, *base.evaluation.followed, *in_area("health")]
        for objective, allowed in zip(self.objectives, (scores, [*scores, *_COMPUTE]), strict=False):
            _refuse_test_and_loss("objective", objective.metric, allowed[0])
            if objective.metric not in allowed:
                raise unknown("objective of these runs", objective.metric, allowed)
        if self.second and self.second.metric == self.objective.metric:
            raise UserError(f"both objectives are {self.second.metric}; weigh it against another metric")
        check_pruning(self.prune_on, base)


class _Identity(Settings):
    value: dict[str, Any]


def validated_only(run: RunConfig) -> RunConfig:
    """Return the run without anything that looks at the test split."""
    return run.with_field("evaluation.splits", ("validation",)).with_field("evaluation.tsne_images", 0)


def check_pruning(metric: str, base: RunConfig) -> None:
    """Check that trials can be compared by a metric in the midst of training.

    Raises:
        UserError: it is a loss, of the test split, or none that is measured while a run trains.
    """
    allowed = [*base.evaluation.followed, "health/rankme"]
    _refuse_test_and_loss("pruning", metric, allowed[0])
    if metric not in allowed:
        raise unknown("metric to prune on", metric, allowed)


def _refuse_test_and_loss(what: str, metric: str, instead: str) -> None:
    if metric.startswith(("test/", "untrained/")):
        raise UserError(f"{what} by {metric} is refused: the test split can't both choose and measure; use {instead}")
    if "loss" in metric:
        raise UserError(
            f"{what} by {metric} is refused: a loss changes its scale with temperature, batch size and whatever else a "
            f"search varies, so that a smaller one is not a better run; use {instead}"
        )


def _overlap(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}.") or other.startswith(f"{path}.")
