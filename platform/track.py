"""MLflow: the only writer of runs, and the reader back into tidy pandas.

The driver alone writes; runs report to it. So the embedded SQLite store is safe, and a server need not be reachable
from every node. A run's identity is its fingerprint within its study: whoever runs it again goes on in the same MLflow
run.
"""

import functools
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Experiment, InputTag, Metric, Param, Run, RunStatus, RunTag
from mlflow.exceptions import MlflowException

from unlabeled.platform.data import Data
from unlabeled.platform.errors import UserError
from unlabeled.platform.events import EpochDone, Failed, Finished, Metrics, Started
from unlabeled.platform.study import PlannedRun

PAGE = 1000  # runs read at a time
_MOST_PARAMETER = 6000  # characters that MLflow takes

for noisy in ("alembic", "mlflow.store.db.utils"):
    logging.getLogger(noisy).setLevel(logging.WARNING)


class Store:
    """The MLflow store of a home, or the one that ``MLFLOW_TRACKING_URI`` names."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(home / 'mlflow.db').absolute()}"
        if self.is_embedded and not home.is_dir():  # MLflow would make a folder of a mistyped name
            raise UserError(f"there is no home {home}; give the one that the runs are in with --home or UNLABELED_HOME")
        try:
            self.client = MlflowClient(tracking_uri=self.uri)
            self.client.search_experiments(max_results=1)
        except Exception as error:  # whatever the store is, what can't be opened is one clear line
            raise UserError(_cannot_open(self.uri, error)) from None

    def open_study(self, record: Mapping[str, Any]) -> "StudyLog":
        """Return the log of a study, its experiment made where there is none."""
        found = self.client.get_experiment_by_name(record["name"])
        if found is not None and found.lifecycle_stage == "deleted":
            raise UserError(
                f"the MLflow experiment {record['name']!r} was deleted; restore it with "
                f"`mlflow experiments restore -x {found.experiment_id}`, or use another --home"
            )
        if found is None:
            place = (self.home / "artifacts" / record["name"]).absolute().as_uri() if self.is_embedded else None
            identity = self.client.create_experiment(record["name"], artifact_location=place)
            self.client.set_experiment_tag(identity, "mlflow.note.content", _description(record))
            self.client.set_experiment_tag(identity, "mlflow.experimentKind", "custom_model_development")
            found = self.client.get_experiment(identity)
        return StudyLog(self.client, found, record)

    def pages(self, address: str) -> list[tuple[str, str]]:
        """Return each study's name and its page in the UI at ``address``."""
        return [
            (e.name, page(address, e.experiment_id)) for e in self.client.search_experiments() if e.name != "Default"
        ]

    @property
    def is_embedded(self) -> bool:
        """Whether the store is a file here, so that artifacts lie in the home."""
        return self.uri.startswith("sqlite:")

    def experiment(self, study: str) -> Experiment:
        """Return a study's experiment.

        Raises:
            UserError: it has no runs here; the studies that have are named.
        """
        found = self.client.get_experiment_by_name(study)
        if found is None:
            names = sorted(e.name for e in self.client.search_experiments() if e.name != "Default")
            raise UserError(
                f"no runs of {study!r} in {self.uri}; there are: {', '.join(names) or 'none yet'}; "
                f"`unlabeled study run {study}` makes some, if it is a study"
            )
        return found

    def runs(self, study: str) -> list[Run]:
        """Return all runs of a study, oldest first."""
        return _all_runs(self.client, self.experiment(study).experiment_id)

    def artifact(self, run_id: str, path: str) -> Path | None:
        """Return a local path to a run's artifact, fetched if the store is a server; None where there is none."""
        try:
            return Path(self.client.download_artifacts(run_id, path))
        except (MlflowException, OSError):
            return None

    def link(self, experiment_id: str, run_id: str) -> str:
        """Return the run's page in the UI of the server that the store is; the empty text for an embedded one."""
        return f"{self.uri}/#/experiments/{experiment_id}/runs/{run_id}" if self.uri.startswith("http") else ""

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Return (epoch, value) of a metric of a run, in order."""
        return [(m.step, m.value) for m in self.client.get_metric_history(run_id, metric)]


class StudyLog:
    """Writes the runs of one study. The calls for a run: begin, started, epoch ..., then finished, failed or killed."""

    def __init__(self, client: MlflowClient, experiment: Experiment, record: Mapping[str, Any]) -> None:
        self.client, self.experiment, self.record = client, experiment, record
        self._known = {run.data.tags.get("unlabeled.fingerprint"): run for run in _all_runs(client, self.id)}
        self._logged: dict[str, int] = {}

    @property
    def id(self) -> str:
        """The experiment's id."""
        identity: str = self.experiment.experiment_id
        return identity

    def is_finished(self, fingerprint: str) -> bool:
        """Tell whether the run is complete in the store."""
        run = self._known.get(fingerprint)
        return run is not None and run.info.status == "FINISHED"

    def begin(self, planned: PlannedRun, fingerprint: str, base: str, data: Data, protocols: Mapping[str, str]) -> str:
        """Open the run's MLflow run, the same one as before where it has one, and return its id."""
        known = self._known.get(fingerprint)
        if known is not None:
            run_id: str = known.info.run_id
            logged = self.client.get_metric_history(run_id, "train/loss")
            self._logged[run_id] = max((metric.step for metric in logged), default=0)
            self.client.update_run(run_id, status="RUNNING")
            self.client.delete_tag(run_id, "unlabeled.reason") if "unlabeled.reason" in known.data.tags else None
            return run_id
        config = planned.config
        tags = {
            "unlabeled.study": self.record["name"],
            "unlabeled.row": planned.row,
            "unlabeled.seed": str(planned.seed),
            "unlabeled.profile": self.record["profile"],
            "unlabeled.fingerprint": fingerprint,
            "unlabeled.base": base,
            "mlflow.source.name": "unlabeled",
            **{f"protocol:{metric}": how for metric, how in protocols.items()},
            **{f"environment:{name}": value for name, value in _versions().items()},
        }
        run = self.client.create_run(self.id, tags=tags, run_name=planned.name)
        run_id = run.info.run_id
        parameters = [Param(path, str(value)[:_MOST_PARAMETER]) for path, value in config.parameters().items()]
        self.client.log_batch(run_id, params=parameters)
        self._log_data(run_id, data)
        with tempfile.TemporaryDirectory() as folder:
            for name, value in (
                ("config.json", config.model_dump(mode="json", serialize_as_any=True)),
                ("study.json", self.record),
            ):
                path = Path(folder, name)
                path.write_text(json.dumps(value, indent=2))
                self.client.log_artifact(run_id, str(path))
        self._known[fingerprint] = run
        self._logged[run_id] = 0
        return run_id

    def started(self, run_id: str, event: Started) -> None:
        """Log where the run computes, and the epochs that an interrupted driver did not get to log."""
        self.client.log_batch(run_id, tags=[RunTag(f"environment:{k}", v) for k, v in event.environment.items()])
        for epoch, metrics in enumerate(event.epochs, start=1):
            self.epoch(run_id, EpochDone(epoch, metrics))

    def epoch(self, run_id: str, event: EpochDone) -> None:
        """Log an epoch's metrics, once."""
        if event.epoch > self._logged[run_id]:
            self._log_metrics(run_id, event.metrics, step=event.epoch)
            self._logged[run_id] = event.epoch

    def finished(self, run_id: str, event: Finished) -> None:
        """Log the final metrics and files, and end the run."""
        self._log_metrics(run_id, event.metrics, step=self._logged[run_id])
        self.client.log_artifacts(run_id, str(event.files))
        self.client.set_terminated(run_id, "FINISHED")

    def failed(self, run_id: str, event: Failed) -> None:
        """End the run as failed, with its reason."""
        self.client.set_tag(run_id, "unlabeled.reason", event.reason[:5000])
        self.client.set_terminated(run_id, "FAILED")

    def killed(self, run_id: str) -> None:
        """End the run as stopped from outside; its checkpoints are kept."""
        self.client.set_terminated(run_id, "KILLED")

    def _log_metrics(self, run_id: str, metrics: Metrics, step: int) -> None:
        now = int(time.time() * 1000)
        self.client.log_batch(run_id, metrics=[Metric(name, value, now, step) for name, value in metrics.items()])

    def _log_data(self, run_id: str, data: Data) -> None:
        profile = {"pretrain": len(data.pretrain), "train": len(data.train), "validation": len(data.validation)}
        dataset = Dataset(
            name=data.name,
            digest=data.checksum[:16],
            source_type="unlabeled",
            source=json.dumps({"source": data.source, "licence": data.licence}),
            profile=json.dumps({**profile, "test": len(data.test), "classes": len(data.classes)}),
        )
        context = InputTag("mlflow.data.context", "pretraining")
        self.client.log_inputs(run_id, datasets=[DatasetInput(dataset, tags=[context])])


def page(address: str, experiment_id: str) -> str:
    """Return the link to an experiment's runs in the MLflow UI; a plainer one would open MLflow's GenAI overview."""
    return f"{address}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"


def frame(runs: list[Run]) -> pd.DataFrame:
    """Lay runs out as one tidy frame, a row each, oldest first.

    Columns: ``run_id, name, study, row, seed, profile, base, status, reason, fingerprint, started, seconds,
    experiment_id``, parameters by their dotted path with their types restored, last metric values by their slash name,
    and the tags ``protocol:...`` and ``environment:...``.
    """
    rows = []
    for run in runs:
        tags = run.data.tags
        ended = run.info.end_time or run.info.start_time
        rows.append(
            {
                "run_id": run.info.run_id,
                "name": run.info.run_name,
                "study": tags.get("unlabeled.study", ""),
                "row": tags.get("unlabeled.row", ""),
                "seed": int(tags.get("unlabeled.seed", 0)),
                "profile": tags.get("unlabeled.profile", ""),
                "base": tags.get("unlabeled.base", ""),
                "status": RunStatus.to_string(RunStatus.from_string(run.info.status)),
                "reason": tags.get("unlabeled.reason", ""),
                "fingerprint": tags.get("unlabeled.fingerprint", ""),
                "started": pd.Timestamp(run.info.start_time, unit="ms", tz="UTC"),
                "seconds": run.data.metrics.get("system/wall_seconds", (ended - run.info.start_time) / 1000),
                "experiment_id": run.info.experiment_id,
                **run.data.params,
                **run.data.metrics,
                **{name: value for name, value in tags.items() if name.startswith(("protocol:", "environment:"))},
            }
        )
    table = pd.DataFrame(rows)
    for name in {name for run in runs for name in run.data.params}:
        table[name] = _typed(table[name])
    return table


def _typed(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Restore numbers and truth values that MLflow keeps as text; a column that holds anything else stays text."""
    if column.dropna().isin(["True", "False"]).all():
        return column.map({"True": True, "False": False})
    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError):
        return column


def _all_runs(client: MlflowClient, experiment_id: str) -> list[Run]:
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], max_results=PAGE, order_by=["attributes.start_time ASC"], page_token=token
        )
        runs += page
        token = page.token
        if not token:
            return runs


def _description(record: Mapping[str, Any]) -> str:
    claims = "\n".join(f"- {claim['statement']} ({claim['source']})" for claim in record["claims"])
    return f"**{record['question']}**\n\n{record['expected']}\n\nSource: {record['source']}\n\n{claims}"


@functools.cache
def _versions() -> dict[str, str]:
    """Return what code and libraries run here."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        cwd=Path(__file__).resolve().parent,
        capture_output=True,
        text=True,
        check=False,
    )
    found = {name: version(name) for name in ("torch", "torchvision", "ray", "mlflow", "optuna")}
    found["python"] = sys.version.split()[0]
    found["commit"] = commit.stdout.strip() or "not in a git checkout"
    return found


def _cannot_open(uri: str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "schema" in str(error) or "revision" in str(error):
        return (
            f"the MLflow store {uri} was written by another MLflow version ({reason}); upgrade a copy of it with "
            f"`mlflow db upgrade {uri}`, install the MLflow that wrote it, or use another --home"
        )
    return f"the MLflow store {uri} can't be opened: {reason}; check the path or server, or use another --home"
