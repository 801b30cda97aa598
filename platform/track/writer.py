"""From a journal's entries to MLflow's calls: few of them a run, and the same result if an entry is written twice."""

import json
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository

from unlabeled.platform.metrics import WITHIN_EPOCHS
from unlabeled.platform.track.connection import Connection
from unlabeled.platform.track.faults import RefusedError, first_line, kind_of, translated_errors
from unlabeled.platform.track.journal import Entry

_WHOLE = "unlabeled.described"  # the tag of a run that has its parameters, data and texts
_MOST, _MAX_OF_TEXTS = 1000, 100  # records in one call, and parameters or tags among them
_MAX_BYTES = 900_000  # of one call; a server takes a million
_THERE_ALREADY = ("IntegrityError", "UniqueViolation", "UNIQUE constraint", "Duplicate entry")  # as databases say it
_OF_A_RECORD = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE")  # refusals that need not be of the run

Record = Metric | Param | RunTag


@dataclass
class _Open:
    """A run under way: its MLflow run, and the last epoch that is logged."""

    run_id: str
    artifacts: ArtifactRepository
    epoch: int = 0
    params: Collection[str] = ()  # that it has from before; they can't be changed
    is_new: bool = False


class Writer:
    """Writes the runs of one study's experiment.

    Args:
        store: where the experiment is.
        experiment: its id.
        record: the study, logged with every run.
        finds: whether a run may be there already: looks before making one. (The search reads all runs' tags.)

    Attributes:
        set_aside: (fingerprint, record) -> why the store refused this one thing of a run, the others being logged.
    """

    def __init__(self, store: Connection, experiment: str, record: Mapping[str, Any], *, finds: bool) -> None:
        self._store, self._client, self._experiment, self._finds = store, store.client, experiment, finds
        self._record = json.dumps(record, indent=2)
        self._open: dict[str, _Open] = {}
        self.known: set[str] = set()  # fingerprints that may have an MLflow run
        self.set_aside: dict[tuple[str, str], str] = {}
        self._tried: set[str] = set()  # fingerprints whose run we may have made without learning of it

    def write(self, fingerprint: str, entries: Sequence[Entry]) -> None:
        """Write consecutive entries of one run.

        Raises:
            AwayError, DeniedError, RefusedError: as the store answers.
        """
        opened = next((entry for entry in entries if entry["do"] == "open"), None)
        ended = next((entry for entry in entries if entry["do"] == "end"), None)
        with translated_errors():
            is_over = entries[0]["do"] == "add"
            run = self._open.get(fingerprint) or self._find_or_make(fingerprint, opened, is_over=is_over)
            self._open[fingerprint] = run
            describes = opened if run.is_new else None
            if describes is not None:
                self._describe(fingerprint, run, describes)
            self._log(fingerprint, run, describes, entries)
            run.is_new = False
            if ended is not None:
                if ended.get("files"):
                    self._upload(fingerprint, run, self._store.home / ended["files"])
                self._client.set_terminated(run.run_id, ended["status"], end_time=ended["at"])
                if fingerprint in self._tried:
                    self._clear(fingerprint, run.run_id)

    def forget(self, fingerprint: str) -> None:
        """Let go of a run whose end is acknowledged."""
        self._open.pop(fingerprint, None)

    def _find_or_make(self, fingerprint: str, opened: Entry | None, *, is_over: bool = False) -> _Open:
        looks = self._finds or opened is None or fingerprint in self.known | self._tried
        run = find_run(self._client, self._experiment, fingerprint) if looks else None
        if run is not None:
            return self._known(run) if is_over else self._go_on(run)
        if opened is None:
            raise RefusedError("its MLflow run was deleted")
        try:
            made = self._client.create_run(
                self._experiment, start_time=opened["at"], tags=opened["tags"], run_name=opened["name"]
            )
        except (MlflowException, OSError):
            self._tried.add(fingerprint)  # a call that fails may have made it nevertheless, or may yet
            raise
        return _Open(made.info.run_id, self._store.artifacts(made), is_new=True)

    def _go_on(self, run: Run) -> _Open:
        run_id = run.info.run_id
        known = self._known(run)
        if run.info.status != "RUNNING":
            self._client.update_run(run_id, status="RUNNING")
        for of_its_last_end in ("unlabeled.reason", "unlabeled.notes"):
            if of_its_last_end in run.data.tags:
                self._client.delete_tag(run_id, of_its_last_end)
        return known

    def _known(self, run: Run) -> _Open:
        logged = self._client.get_metric_history(run.info.run_id, "train/loss")
        last = max((metric.step for metric in logged), default=0)
        is_new = _WHOLE not in run.data.tags
        return _Open(run.info.run_id, self._store.artifacts(run), last, set(run.data.params), is_new=is_new)

    def _log(self, fingerprint: str, run: _Open, opened: Entry | None, entries: Sequence[Entry]) -> None:
        metrics: list[Metric] = []
        tags: dict[str, str] = {}
        last = run.epoch
        for entry in entries:
            tags |= entry.get("tags", {}) if entry["do"] != "open" else {}
            metrics += [Metric(WITHIN_EPOCHS, value, entry["at"], step) for step, value in entry.get("losses", ())]
            epoch = entry.get("epoch")
            if epoch is not None and epoch <= last:
                continue
            last = epoch or last
            metrics += [Metric(name, value, entry["at"], last) for name, value in entry.get("metrics", {}).items()]
        given = [opened, *entries] if opened else [entry for entry in entries if entry["do"] != "open"]
        texts = {path: text for entry in given for path, text in entry.get("params", {}).items()}
        params = [Param(path, text) for path, text in texts.items() if path not in run.params]
        if opened is not None:
            tags[_WHOLE] = "yes"
        every_tag = [RunTag(name, text) for name, text in tags.items()]
        for batch in batches([*metrics, *params, *every_tag]):
            refused = self._log_batch(run, batch)
            if len(refused) == len(batch) > 1:  # it is the run that is refused
                raise refused[0][1]
            for record, error in refused:
                self._set_aside(fingerprint, f"{type(record).__name__.lower()} {record.key} = {record.value}", error)
        run.epoch = last  # not before: what could not be sent is sent again

    def _log_batch(self, run: _Open, batch: list[Record]) -> list[tuple[Record, MlflowException]]:
        """Log records, all but those that the store refuses; return these, found by halving."""
        metrics = [record for record in batch if isinstance(record, Metric)]
        params = [record for record in batch if isinstance(record, Param)]
        tags = [record for record in batch if isinstance(record, RunTag)]
        try:
            self._client.log_batch(run.run_id, metrics, params, tags, synchronous=True)
        except MlflowException as error:
            if kind_of(error) is not RefusedError or error.error_code not in _OF_A_RECORD:
                raise
            if len(batch) == 1:
                return [(batch[0], error)]
            middle = len(batch) // 2
            return self._log_batch(run, batch[:middle]) + self._log_batch(run, batch[middle:])
        return []

    def _upload(self, fingerprint: str, run: _Open, folder: Path) -> None:
        """Upload a folder's files, all but those that the store refuses."""
        if not folder.is_dir():
            self._set_aside(fingerprint, f"files of {folder}", FileNotFoundError("the folder is gone"))
            return
        try:
            run.artifacts.log_artifacts(str(folder))  # type: ignore[no-untyped-call]
            return
        except (MlflowException, OSError) as error:
            if kind_of(error) is not RefusedError:
                raise
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            if not files:
                self._set_aside(fingerprint, f"files of {folder}", error)
        for path in files:
            place = path.relative_to(folder)
            try:
                run.artifacts.log_artifact(str(path), "" if place.parent == Path() else place.parent.as_posix())  # type: ignore[no-untyped-call]
            except (MlflowException, OSError) as error:
                if kind_of(error) is not RefusedError:
                    raise
                self._set_aside(fingerprint, f"file {place}", error)

    def _set_aside(self, fingerprint: str, what: str, error: Exception) -> None:
        self.set_aside[fingerprint, what] = first_line(error)

    def _describe(self, fingerprint: str, run: _Open, opened: Entry) -> None:
        """Log the data and the texts that a run is understood and repeated by."""
        dataset = DatasetInput(Dataset(**opened["dataset"]), tags=[InputTag("mlflow.data.context", "pretraining")])
        try:
            self._client.log_inputs(run.run_id, datasets=[dataset])
        except MlflowException as error:
            if not any(word in str(error) for word in _THERE_ALREADY):
                raise
            self._client.log_inputs(run.run_id, datasets=[dataset])  # another driver was first to name this data set
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_text(json.dumps(opened["config"], indent=2))
            Path(folder, "study.json").write_text(self._record)
            self._upload(fingerprint, run, Path(folder))

    def _clear(self, fingerprint: str, run_id: str) -> None:
        """Delete what a call made that we had given up."""
        for stray in find_runs(self._client, self._experiment, fingerprint):
            if stray.info.run_id != run_id:
                self._client.delete_run(stray.info.run_id)
        self._tried.discard(fingerprint)


def batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Give records in portions that MLflow takes in one call."""
    batch: list[Record] = []
    size, texts = 0, Counter[type]()
    for record in records:
        own = 200 + len(json.dumps(record.key)) + len(json.dumps(record.value))
        is_full = len(batch) == _MOST or texts[type(record)] == _MAX_OF_TEXTS or size + own > _MAX_BYTES
        if batch and is_full:
            yield batch
            batch, size, texts = [], 0, Counter[type]()
        batch.append(record)
        size += own
        texts[type(record)] += not isinstance(record, Metric)
    if batch:
        yield batch


def find_run(client: MlflowClient, experiment: str, fingerprint: str) -> Run | None:
    """Return the MLflow run of a fingerprint in an experiment, the oldest if there are several."""
    return next(iter(find_runs(client, experiment, fingerprint)), None)


def find_runs(client: MlflowClient, experiment: str, fingerprint: str) -> list[Run]:
    """Return the MLflow runs of a fingerprint in an experiment, the oldest first."""
    same = f"tags.`unlabeled.fingerprint` = '{fingerprint}'"
    return list(client.search_runs([experiment], filter_string=same, order_by=["attributes.start_time ASC"]))
