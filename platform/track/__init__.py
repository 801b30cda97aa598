"""MLflow: the only writer of runs, and the reader back into tidy pandas.

The driver alone writes; runs report to it. What it has to write goes into a journal on its disk first (``journal``),
and a thread of its own carries it from there to MLflow (``sender``, ``writer``): training never waits on a server, and
a server that goes away loses nothing. Leases (``leases``) keep two drivers on one store from doing a run twice. A run's
identity is its fingerprint within its study: whoever runs it again goes on in the same MLflow run.
"""

from unlabeled.platform.track.faults import quiet_mlflow

quiet_mlflow()  # before MLflow is imported

from unlabeled.platform.track.left import send_waiting  # noqa: E402
from unlabeled.platform.track.log import StudyLog  # noqa: E402
from unlabeled.platform.track.store import Store  # noqa: E402
from unlabeled.platform.track.table import frame  # noqa: E402

__all__ = ["Store", "StudyLog", "frame", "send_waiting"]
