"""What is measured of a run after its end, beside what its own evaluation measured."""

from collections.abc import Mapping

from pydantic import Field

from unlabeled.platform.config import EvaluationConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import Measurement, names


class FurtherEvaluation(EvaluationConfig):
    """Measurements beside those of a finished run, called as if both had been asked for together.

    Attributes:
        beside: what the run's own evaluation measured at its end; one that is asked for again keeps its name.
        asked: all that is asked for together, of which ``final`` is what is left to do.
    """

    every_epochs: int = Field(default=1, ge=1)
    follow: tuple[Measurement, ...] = ()
    tsne_images: int = Field(default=0, ge=0)
    beside: tuple[Measurement, ...] = ()
    asked: tuple[Measurement, ...] = ()

    @property
    def keys(self) -> Mapping[Measurement, str]:
        """What each measurement is called in metrics."""
        own = names(self.beside)
        together = names(tuple(dict.fromkeys((*self.beside, *self.asked, *self.final))))
        return {each: own.get(each, together[each]) for each in self.final}


def further(evaluation: EvaluationConfig, beside: tuple[Measurement, ...] = ()) -> FurtherEvaluation:
    """Return the final part of an evaluation, beside what was measured before.

    Raises:
        UserError: two of the measurements would have one name.
    """
    found = FurtherEvaluation(final=evaluation.final, asked=evaluation.final, splits=evaluation.splits, beside=beside)
    try:
        assert found.keys
    except ValueError as error:
        raise UserError(f"final: {error}") from None
    return found


def elsewhere(evaluation: EvaluationConfig, data: DataConfig) -> EvaluationConfig:
    """Return an evaluation of which all that names no data of its own is measured on these."""
    final = tuple(each if each.data else each.with_field("data", data) for each in evaluation.final)
    return evaluation.with_field("final", final)
