"""What a run's encoder gives before it is trained: measured once for all runs that start from the same weights."""

import json
from pathlib import Path

from unlabeled.platform import collective
from unlabeled.platform.collective.waiting import together
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.method import MethodConfig
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import build_method
from unlabeled.platform.train.checkpoint import write_atomically
from unlabeled.platform.train.events import Metrics
from unlabeled.platform.train.measurable import check_measurements
from unlabeled.platform.train.measuring import Evaluation


def measure_untrained(run: RunConfig, data: Data, home: Path, processor: Processor, evaluation: Evaluation) -> Metrics:
    """Measure the encoder before training, or return what the home has of it; keys start with ``untrained/``.

    Raises:
        UserError: a probe refuses the method or the data.
    """
    own_eyes = type(run.method).make_encoder is not MethodConfig.make_encoder
    asks_method = any(each.encoder or each.layer or each.probe.asks_method for each in run.evaluation.final)
    what = (
        run.method.digest() if own_eyes or asks_method else "",
        run.encoder.digest(),
        run.data.digest(),
        data.checksum,
        str(run.seed),
        run.method.field,  # which the encoder sees
        processor.precision,
        *(other.checksum for other in evaluation.other.values()),
    )
    path = home / "work" / "untrained" / f"{run.evaluation.digest(*what)}.json"
    is_first = collective.rank() == 0
    with together() as meeting:
        known: Metrics | None = meeting(json.loads(path.read_text()) if is_first and path.is_file() else None)[0]
    if known is not None:
        return known
    method = build_method(run, data, processor)
    check_measurements(method, run, data, evaluation.other)
    found = evaluation.untrained(method)
    if is_first and not evaluation.notes:  # what is missing is found out anew, so each run says why
        write_atomically(path, json.dumps(found).encode())
    return found
