"""A connection to an MLflow store: the one in the home, or the server that ``MLFLOW_TRACKING_URI`` names."""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from unlabeled.platform.addresses import tracking_uri, without_secrets
from unlabeled.platform.errors import UserError
from unlabeled.platform.track import embedded, moved
from unlabeled.platform.track.described import NOTE, VIEW, of_study, opening
from unlabeled.platform.track.faults import AwayError, DeniedError, first_line, kind_of
from unlabeled.platform.track.leases import LEDGERS, new_ledger
from unlabeled.platform.train.loggable import MAX_EXPERIMENT_TAG, plain_text

PAGE = 1000  # runs read at a time
REPORT = "unlabeled.report"  # the tag of the run that holds a study's report, which is none of the study's runs
_MAX_OF_A_NAME = 200  # characters of a study's, which is a folder's too
_OPENING_SECONDS = 5  # how long a server may take to answer the first call


class Connection:
    """The MLflow store of a home, or the one that ``MLFLOW_TRACKING_URI`` names.

    Args:
        home: the folder.
        own: the one in the home, whatever the environment names.

    Attributes:
        uri: what MLflow is given; it may hold a password.
        address: the same for people, pages and files.

    Raises:
        UserError: it can't be opened: no such home or file, no answer, no permission, another MLflow version.
    """

    def __init__(self, home: Path, *, own: bool = False) -> None:
        self.home = home
        self.uri = (None if own else tracking_uri()) or f"sqlite:///{(home / 'mlflow.db').absolute()}"
        self.address = without_secrets(self.uri)
        if self.is_embedded and "?" in str(home):  # where the file's name would end
            raise UserError(f"the home {home} has a question mark in its path; give one without with --home")
        if self.is_embedded and not home.is_dir():  # MLflow would make a folder of a mistyped name
            raise UserError(f"there is no home {home}; give the one that the runs are in with --home or UNLABELED_HOME")
        try:
            with _one_at_a_time(home if self.is_embedded else None), _quick_answer():
                self.client = MlflowClient(tracking_uri=self.uri)
                self.client.search_experiments(max_results=1)
                if self.is_own:
                    moved.mend(home / "mlflow.db", home)
        except Exception as error:  # whatever the store is, what can't be opened is one clear line
            raise UserError(_cannot_open(self.address, error)) from None

    @property
    def is_embedded(self) -> bool:
        """Whether the store is a file here, so that artifacts lie in the home."""
        return self.uri.startswith("sqlite:")

    @property
    def is_own(self) -> bool:
        """Whether the store is the home's own file."""
        try:
            return self.is_embedded and os.path.samefile(self.uri.removeprefix("sqlite:///"), self.home / "mlflow.db")
        except OSError:
            return False

    @property
    def identity(self) -> str:
        """What the store is known by in a journal: its address, or nothing for the home's own, wherever that is."""
        return "" if self.is_own else self.address

    def artifacts(self, run: Run) -> ArtifactRepository:
        """Return where a run's files lie: of the home's own store in the home as it is now, wherever it was before."""
        address = moved.resolved(run.info.artifact_uri, self.home) if self.is_own else run.info.artifact_uri
        return get_artifact_repository(address, tracking_uri=self.uri)

    def fetched(self, run: Run) -> Path | None:
        """Return the folder of a run's files, fetched if the store is a server; None where they can't be had."""
        place = None if self.is_embedded else self.home / "work" / "fetched" / run.info.run_id
        try:
            if place is not None:
                place.mkdir(parents=True, exist_ok=True)
            files = self.artifacts(run)
            return Path(files.download_artifacts("", None if place is None else str(place)))  # type: ignore[no-untyped-call]
        except (MlflowException, OSError):
            return None

    def open_experiment(self, record: Mapping[str, Any]) -> tuple[Experiment, str]:
        """Return a study's experiment, made where there is none, and the id of its ledger.

        Raises:
            UserError: it was deleted, is somebody else's, or the store can't be written.
        """
        self._check_writable()
        name = record["name"]
        if len(name) > _MAX_OF_A_NAME:
            raise UserError(
                f"the name {name[:20]}... has {len(name)} characters; choose one of at most {_MAX_OF_A_NAME}"
            )
        try:
            found = self.client.get_experiment_by_name(name) or self._make_experiment(record)
        except (MlflowException, OSError) as error:
            raise UserError(_cannot_open(self.address, error)) from None
        if found.lifecycle_stage == "deleted":
            raise UserError(
                f"the MLflow experiment {name!r} was deleted; restore it with "
                f"`mlflow experiments restore -x {found.experiment_id}`, or use another --home"
            )
        ledger = found.tags.get("unlabeled.ledger")
        if ledger is None:
            raise UserError(
                f"the MLflow experiment {name!r} in {self.address} was not made by unlabeled, and may hold others' "
                f"runs; rename it with `mlflow experiments rename -x {found.experiment_id} --new-name OTHER`, "
                "or use another store"
            )
        return found, ledger

    def runs_of(self, experiment_id: str) -> Iterator[Run]:
        """Give all runs of an experiment, oldest first, read a page at a time."""
        store = self.client._tracking_client.store
        if self.is_embedded and hasattr(store, "ManagedSessionMaker"):
            yield from embedded.runs_of(store, experiment_id)
            return
        token = None
        while True:
            page = self.client.search_runs(
                [experiment_id], max_results=PAGE, order_by=["attributes.start_time ASC"], page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _make_experiment(self, record: Mapping[str, Any]) -> Experiment:
        ledger = new_ledger(self.client, record["name"], self._place(LEDGERS))
        tags = {
            VIEW: opening([record["measure"]], list(_varied(record)), (), list(record.get("rows", ()))),
            "mlflow.experimentKind": "custom_model_development",
            "unlabeled.ledger": ledger,
        }
        try:
            made = self.client.create_experiment(
                record["name"], artifact_location=self._place(record["name"]), tags=tags
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            self.client.delete_run(ledger)  # another driver was quicker, and its ledger is the study's
        else:  # it has an id now, and can lead to the view that it should open with
            note = plain_text(of_study(record, made), MAX_EXPERIMENT_TAG)
            self.client.set_experiment_tag(made, NOTE, note)
        found = self.client.get_experiment_by_name(record["name"])
        assert found is not None
        return found

    def _place(self, experiment: str) -> str | None:
        """Return where an experiment's files go; None where a server decides that."""
        if self.uri.startswith(("http:", "https:", "databricks")):
            return None
        return (self.home / "artifacts" / experiment).absolute().as_uri()

    def _check_writable(self) -> None:
        path = Path(self.uri.removeprefix("sqlite:///"))
        for place in (path, path.parent) if self.is_embedded else ():  # SQLite makes files beside its own
            if place.exists() and not _is_writable(place):
                raise UserError(
                    f"the MLflow store {self.address} can't be written: no permission for {place}; "
                    "get it, or give another place with --home or UNLABELED_HOME"
                )


def _is_writable(place: Path) -> bool:
    return os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


@contextmanager
def _one_at_a_time(home: Path | None) -> Iterator[None]:
    """Let one process at a time open a home's store: opening a new one makes its tables, which is done once."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # who may not write here makes no tables
            if home is not None:
                fcntl.flock(stack.enter_context((home / ".opening").open("w")), fcntl.LOCK_EX)
        yield


@contextmanager
def _quick_answer() -> Iterator[None]:
    """Let MLflow's calls wait seconds, not minutes: a wrong address should say so at once."""
    quick = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(_OPENING_SECONDS), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    before = {name: os.environ[name] for name in quick}
    os.environ |= quick
    try:
        yield
    finally:
        os.environ |= before


def _varied(record: Mapping[str, Any]) -> dict[str, None]:
    """Return the fields that a study's rows set, each once."""
    return dict.fromkeys(path for fields in record.get("rows", {}).values() for path in fields)


def _cannot_open(address: str, error: Exception) -> str:
    reason = first_line(error)
    if "schema" in str(error) or "revision" in str(error):
        return (
            f"the MLflow store {address} was written by another MLflow version ({reason}); upgrade a copy of it with "
            f"`mlflow db upgrade {address}`, install the MLflow that wrote it, or use another --home"
        )
    kind = kind_of(error)
    if kind is DeniedError:
        return (
            f"the MLflow server {address} keeps us out: {reason}; check MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, and your permissions there"
        )
    if kind is AwayError and address.startswith("http"):
        check = "check MLFLOW_TRACKING_URI, and that the server runs"
        return f"the MLflow server {address} does not answer: {reason}; {check}"
    return f"the MLflow store {address} can't be opened: {reason}; check the path or server, or use another --home"
