"""A run that is finished: found in a store by its id, with its settings and its files."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from pydantic import ValidationError

from unlabeled.platform.config import RunConfig
from unlabeled.platform.drive.home import find_home
from unlabeled.platform.encoder.weights import WEIGHTS
from unlabeled.platform.errors import UserError, explain
from unlabeled.platform.track import Store
from unlabeled.platform.track.faults import first_line

_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{16}")


@dataclass(frozen=True)
class FinishedRun:
    """A run of this project that is complete in a store.

    Attributes:
        store: where it is logged.
        logged: what MLflow has of it.
        files: its artifacts, here; fetched if the store is a server.
        config: its settings.
        record: the study that it belongs to, as it was declared.
    """

    store: Store
    logged: Run
    files: Path
    config: RunConfig
    record: dict[str, Any]

    @property
    def id(self) -> str:
        """MLflow's name of it."""
        identity: str = self.logged.info.run_id
        return identity

    @property
    def fingerprint(self) -> str:
        """Its own."""
        return str(self.logged.data.tags["unlabeled.fingerprint"])

    @property
    def called(self) -> str:
        """Its study, row and seed, for people."""
        return f"{self.record['name']}: {self.logged.info.run_name}"

    @property
    def encoder(self) -> Path:
        """The folder of its exported encoder."""
        return self.files / "encoder"


def is_id(name: str) -> bool:
    """Tell whether a name is a run's id or fingerprint, and no file or folder here.

    >>> is_id("4f1c" * 8), is_id("encoder.safetensors")
    (True, False)
    """
    return _ID.fullmatch(name) is not None and not Path(name).exists()


def find_finished(name: str, home: str | Path | None = None) -> FinishedRun:
    """Return the finished run of an MLflow id, or of a fingerprint.

    Raises:
        UserError: there is none, it isn't finished or not of this project, or another version wrote it.
    """
    store, run, files = _with_files(name, home)
    try:
        config = RunConfig.model_validate_json((files / "config.json").read_bytes())
        record = json.loads((files / "study.json").read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"the settings of run {name} can't be read in {files} ({error}); run it again") from None
    except ValidationError as error:
        raise UserError(f"run {name} has settings that this version does not know: {explain(error)}") from None
    return FinishedRun(store, run, files, config, record)


def encoder_of(name: str, home: str | Path | None = None) -> Path:
    """Return the folder of the exported encoder of a finished run, whatever its method; raises as above."""
    return _with_files(name, home)[2] / "encoder"


def _with_files(name: str, home: str | Path | None) -> tuple[Store, Run, Path]:
    store = Store(find_home(home))
    run = _run(store, name)
    tags = run.data.tags
    if "unlabeled.training" not in tags:
        raise UserError(f"the run {name} in {store.address} was not trained by unlabeled; give a run of a study")
    if run.info.status != "FINISHED":
        raise UserError(
            f"the run {name} ({tags.get('unlabeled.row', '')}) is {run.info.status}, not finished; the command that "
            "began it goes on with it"
        )
    files = store.fetched(run)
    if files is None or not (files / "encoder" / WEIGHTS).is_file():
        raise UserError(f"the files of run {name} can't be had from {store.address}, or lack its encoder; run it again")
    return store, run, files


def _run(store: Store, name: str) -> Run:
    try:
        if len(name) == 32:
            return store.client.get_run(name)
        experiments = [each.experiment_id for each in store.client.search_experiments()]
        same = f"tags.`unlabeled.fingerprint` = '{name}'"
        found = store.client.search_runs(experiments, filter_string=same, max_results=1)
        if found:
            return found[0]
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise UserError(f"{store.address} can't be read: {first_line(error)}") from None
    raise UserError(
        f"no run {name!r} in {store.address}; ids are in the MLflow UI (`unlabeled ui`), and in the column run_id of "
        "unlabeled.dashboards.frames.runs(STUDY); --home names another home"
    )
