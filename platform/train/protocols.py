"""How each number of a run is measured, in a line: what is logged beside it, and what reports compare before means."""

import math

from unlabeled.platform.config import EvaluationConfig
from unlabeled.platform.data import Data
from unlabeled.platform.evaluate import Measurement, names
from unlabeled.platform.evaluate.transformations import TRANSFORMATIONS
from unlabeled.platform.metrics import metric_of
from unlabeled.platform.train.loggable import metric_name

_COSTS = ("system/training_memory_mb", "system/training_seconds")


def measured(evaluation: EvaluationConfig, data: Data) -> dict[Measurement, str]:
    """Return the final measurements that these data allow, and what each is called; without classes few are left."""
    return {each: name for each, name in evaluation.keys.items() if is_told(each, data)}


def is_told(measurement: Measurement, data: Data) -> bool:
    """Tell whether a measurement is made on these data: only what is told by the class is left out where none has one.

    What else they lack is refused before anything is trained.
    """
    return measurement.told != "class" or measurement.data is not None or "class" in data.train.fields


def protocols(evaluation: EvaluationConfig, data: Data, when: str = "last epoch") -> dict[str, str]:
    """Return metric -> how it is measured, for every score that a run can have, and for its costs.

    ``when`` tells of which encoder the final measurements are.
    """
    how = {name: metric_of(name).meaning for name in _COSTS}
    for each, name in names(evaluation.follow).items():
        count = evaluation.follow_images
        text = (
            f"{each.probe.protocol} on up to {count} validation pictures, bank of up to {2 * count} training pictures, "
            f"{each.features}, each epoch"
        )
        how |= {metric_name(f"{name}/{score}"): text for score in each.probe.scores}
    for each, name in measured(evaluation, data).items():
        at_size = _at_size(each, data)
        for split in evaluation.splits:
            text = each.protocol(split, when, at_size)
            how |= {metric_name(f"{split}/{name}/{score}"): text for score in each.probe.scores}
        if "test" in evaluation.splits:
            text = each.protocol("test", "before training", at_size)
            how |= {metric_name(f"untrained/{name}/{score}"): text for score in each.probe.scores}
    return how


def _at_size(each: Measurement, data: Data) -> str:
    """Say what a probe does otherwise for the number of items and classes; of further data they are not known here."""
    if each.data is not None:
        return ""
    if each.told in TRANSFORMATIONS:
        items, classes = len(data.train), TRANSFORMATIONS[each.told].ways
    elif each.told not in data.train.fields:
        return ""  # and it is refused
    else:
        items, classes = int(data.train.known(each.told).sum()), len(data.train.fields[each.told].classes)
    return each.probe.at_size(math.ceil(items * each.probe.labels), classes)
