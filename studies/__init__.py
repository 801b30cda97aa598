"""The studies, by name, in reading order."""

from collections.abc import Mapping

from unlabeled.platform.study import Study
from unlabeled.studies.mechanism_cost import STUDY as MECHANISM_COST
from unlabeled.studies.projection_head import STUDY as PROJECTION_HEAD

STUDIES: Mapping[str, Study] = {study.name: study for study in (PROJECTION_HEAD, MECHANISM_COST)}
