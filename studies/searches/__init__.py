"""The searches, by name, in reading order."""

from collections.abc import Mapping

from unlabeled.platform.search import Search
from unlabeled.studies.searches.augmentation import SEARCH as AUGMENTATION
from unlabeled.studies.searches.moco_laptop import SEARCH as MOCO_LAPTOP
from unlabeled.studies.searches.simclr_laptop import SEARCH as SIMCLR_LAPTOP

SEARCHES: Mapping[str, Search] = {search.name: search for search in (SIMCLR_LAPTOP, MOCO_LAPTOP, AUGMENTATION)}
