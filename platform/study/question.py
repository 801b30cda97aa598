"""What studies and searches have in common: a question, who asks it, and the base run at each scale."""

from collections.abc import Mapping

from pydantic import Field

from unlabeled.platform.config import RunConfig
from unlabeled.platform.settings import Settings


class Question(Settings):
    """A question that runs answer.

    Attributes:
        name: slug; also the MLflow experiment's name and the report's folder.
        question: one sentence that ends in a question mark; the report's title.
        source: who asks it: the papers and sections.
        expected: what the source reports, or would lead one to expect.
        cost: runs times minutes, on what.
        profiles: the base run at each scale: ``laptop``, ``workstation``, ``cluster``.
    """

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    question: str = Field(pattern=r"\?$")
    source: str
    expected: str
    cost: str
    profiles: Mapping[str, RunConfig] = Field(min_length=1)
