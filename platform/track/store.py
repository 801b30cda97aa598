"""The MLflow store of a home, as its readers and its one writer know it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException

from unlabeled.platform.errors import UserError
from unlabeled.platform.track.connection import REPORT, Connection
from unlabeled.platform.track.described import VIEW, VIEW_OF_ML, page
from unlabeled.platform.track.histories import Point, histories
from unlabeled.platform.track.leases import LEDGERS
from unlabeled.platform.track.log import StudyLog


class Store(Connection):
    """The MLflow store of a home, or the one that ``MLFLOW_TRACKING_URI`` names."""

    def open_study(self, record: Mapping[str, Any]) -> StudyLog:
        """Return the log of a study, its experiment made where there is none."""
        return StudyLog(self, record)

    def pages(self, address: str) -> list[tuple[str, str]]:
        """Return each study's name and its page in the UI at ``address``."""
        return [(e.name, f"{address}/{page(e.experiment_id, has_view=VIEW in e.tags)}") for e in self.experiments()]

    def experiment(self, study: str) -> Experiment:
        """Return a study's experiment.

        Raises:
            UserError: it has no runs here; the studies that have are named.
        """
        found = self.client.get_experiment_by_name(study)
        if found is None:
            names = sorted(e.name for e in self.experiments())
            raise UserError(
                f"no runs of {study!r} in {self.address}; there are: {', '.join(names) or 'none yet'}; "
                f"`unlabeled study run {study}` makes some, if it is a study"
            )
        return found

    def runs(self, study: str) -> Iterator[Run]:
        """Give all runs of a study, oldest first, read a page at a time."""
        return (run for run in self.runs_of(self.experiment(study).experiment_id) if REPORT not in run.data.tags)

    def histories(self, run_ids: Sequence[str], metrics: Sequence[str]) -> Iterator[Point]:
        """Give every logged value of some metrics of some runs, in few calls."""
        return histories(self.client, run_ids, metrics)

    def artifact(self, run_id: str, path: str) -> Path | None:
        """Return a local path to a run's artifact, fetched if the store is a server; None where there is none."""
        try:
            return Path(self.artifacts(self.client.get_run(run_id)).download_artifacts(path))  # type: ignore[no-untyped-call]
        except (MlflowException, OSError):
            return None

    def pictures(self, run_id: str) -> dict[str, Path]:
        """Return the local paths of a run's PNGs by name: at the top, then of what its method makes of pictures."""
        try:
            files = self.artifacts(self.client.get_run(run_id))
            listed = [*files.list_artifacts(), *files.list_artifacts("pictures")]
        except (MlflowException, OSError):
            return {}
        found = {}
        for file in listed:
            if file.path.endswith(".png"):
                with contextlib.suppress(MlflowException, OSError):
                    local = files.download_artifacts(file.path)  # type: ignore[no-untyped-call]
                    found[Path(file.path).stem] = Path(local)
        return found

    def link(self, experiment_id: str, run_id: str) -> str:
        """Return the run's page in the UI of the server that the store is; the empty text for an embedded one."""
        if not self.uri.startswith("http"):
            return ""
        return f"{self.address.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}?{VIEW_OF_ML}"

    def experiments(self) -> list[Experiment]:
        """Return the studies' experiments; a server may hold others'."""
        return [e for e in self.client.search_experiments() if e.name not in ("Default", LEDGERS)]
