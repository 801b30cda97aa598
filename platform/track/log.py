"""What the driver logs of a study's runs: into its journal at once, and from there to MLflow by a thread of its own."""

import contextlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlflow import MlflowClient
from mlflow.entities import Run

from unlabeled.platform.addresses import scrub
from unlabeled.platform.errors import UserError
from unlabeled.platform.track import described
from unlabeled.platform.track import sender as sending
from unlabeled.platform.track.commit import versions
from unlabeled.platform.track.connection import Connection
from unlabeled.platform.track.described import NOTE
from unlabeled.platform.track.driver import said
from unlabeled.platform.track.faults import AwayError, DeniedError, RefusedError, translated_errors
from unlabeled.platform.track.journal import Journal
from unlabeled.platform.track.leases import LEDGERS, Leases
from unlabeled.platform.track.left import line_of_waiting, refused_in_words, send_waiting
from unlabeled.platform.track.sender import Sender
from unlabeled.platform.track.table import LISTS
from unlabeled.platform.track.writer import Writer, find_run
from unlabeled.platform.train.events import EpochDone, Failed, Finished, Metrics, Progress, Started
from unlabeled.platform.train.loggable import loggable

if TYPE_CHECKING:  # torch, which they import, takes 300 MB and two seconds that reading runs does not need
    from unlabeled.platform.data import Data
    from unlabeled.platform.study import PlannedRun
    from unlabeled.platform.train.loaded import Identity

LOOK_SECONDS = 2.0  # between looks at what other drivers have in hand
Claim = Literal["ours", "done", "failed", "others", "away"]


class StudyLog:
    """Logs the runs of one study. The calls for a run: claim, begin, started, epoch ..., then finished, failed, killed.

    Between ``open`` and ``close`` it holds leases and sends; ``close`` waits until MLflow has everything.

    Attributes:
        record: the study, from ``Study.record``.
        experiment: its MLflow experiment.
    """

    adds = "log"  # the kind of the entries by which more of a run is logged

    def __init__(self, store: Connection, record: Mapping[str, Any]) -> None:
        self.store, self.record = store, record
        self.experiment, ledger = store.open_experiment(record)
        send_waiting(store, record["name"])  # first, so that what an earlier command finished is not done again
        self.leases = Leases(store.client, ledger)
        self._statuses: dict[str, str] = {}
        self._weights: dict[str, str] = {}  # training -> the fingerprint of a finished run that has its weights
        for run in store.runs_of(self.id):
            tags = run.data.tags
            if (fingerprint := tags.get("unlabeled.fingerprint")) is not None:
                self._statuses[fingerprint] = run.info.status
                if run.info.status == "FINISHED":
                    self._weights[tags.get("unlabeled.training", "")] = fingerprint
        self._begun: dict[str, tuple[str, str, int]] = {}  # fingerprint of a run begun here -> its training, row, seed
        self._sender: Sender | None = None
        self._looked = 0.0

    @property
    def client(self) -> MlflowClient:
        """MLflow's client, to read with."""
        return self.store.client

    @property
    def id(self) -> str:
        """The experiment's id."""
        identity: str = self.experiment.experiment_id
        return identity

    def is_finished(self, fingerprint: str) -> bool:
        """Tell whether the run is complete in the store."""
        return self._statuses.get(fingerprint) == "FINISHED"

    def trained(self, training: str) -> Path | None:
        """Return where the files lie of a finished run of that training, fetched if the store is a server."""
        fingerprint = self._weights.get(training)
        try:
            run = None if fingerprint is None else self.logged(fingerprint)
        except (AwayError, DeniedError, RefusedError):
            return None  # it can be trained
        return None if run is None else self.store.fetched(run)

    def open(self, say: Callable[[str], None]) -> None:
        """Begin to hold leases and to send; ``say`` takes lines for a person."""
        header = {"store": self.store.identity, "experiment": self.id, "record": self.record}
        try:
            self.leases.beat()
        except (AwayError, DeniedError, RefusedError) as error:
            raise UserError(f"the MLflow store {self.store.address} can't be written: {error}") from None
        writer = Writer(self.store, self.id, self.record, finds=False)
        writer.known = set(self._statuses)
        journal = Journal.start(self.store.home, self.leases.driver.name, header)
        self._sender = Sender(journal, writer, self.leases, say)
        self._sender.start()

    def claim(self, fingerprint: str) -> Claim:
        """Ask for a run: it is ours to do, was done or failed elsewhere meanwhile, or others have it in hand.

        "away" says that nobody can tell, because MLflow does not answer and other drivers may have it. A driver that
        was alone on the study does not wait for an answer.
        """
        assert self._sender is not None, "open comes first"
        if end := self.leases.end_since_joined(fingerprint):
            return "done" if end == "FINISHED" else "failed"
        try:
            if not self._sender.is_away:
                if not self.leases.take(fingerprint):
                    return "others"
                if self.leases.times(fingerprint) > 1 and self._finished_meanwhile(fingerprint):
                    self.leases.end(fingerprint, "FINISHED")
                    return "done"
                return "ours"
        except (AwayError, DeniedError) as error:
            self._sender.note_away(error)
        except RefusedError as error:
            raise UserError(
                f"MLflow refused a lease of {self.record['name']}: {error}; if somebody deleted the experiment "
                f"{LEDGERS} or a run in it, restore it with `mlflow experiments restore` or `mlflow runs restore`"
            ) from None
        if not self.leases.is_alone():
            return "away"
        self.leases.claim(fingerprint)
        return "ours"

    def look(self) -> bool:
        """Read what other drivers have in hand, if that was some seconds ago; tell whether it was read."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return False
        self._looked = time.monotonic()
        try:
            self.leases.refresh()
        except (AwayError, DeniedError) as error:
            assert self._sender is not None
            self._sender.note_away(error)
            return False
        return True

    @property
    def is_out_of_patience(self) -> bool:
        """Whether MLflow has been away for longer than it is worth waiting with nothing to do."""
        return self._sender is not None and self._sender.seconds_away > sending.PATIENCE_SECONDS

    def holder(self, fingerprint: str) -> str:
        """Say who has a run in hand."""
        holder = self.leases.holder(fingerprint)
        return said(holder) if holder else "another process"

    def begin(
        self,
        planned: "PlannedRun",
        identity: "Identity",
        base: str,
        data: "Data",
        protocols: Mapping[str, str],
        only: Collection[str] = (),
    ) -> None:
        """Open the run's MLflow run, the same one as before where it has one; of its settings all, or ``only`` some."""

        def of(path: str) -> bool:
            return not only or path.partition(".")[0] in only

        tags = {
            "unlabeled.study": self.record["name"],
            "unlabeled.row": planned.row,
            "unlabeled.seed": str(planned.seed),
            "unlabeled.profile": self.record["profile"],
            "unlabeled.fingerprint": identity.fingerprint,
            "unlabeled.training": identity.training,
            "unlabeled.row_digest": identity.row,
            "unlabeled.base": base,
            LISTS: json.dumps(planned.config.lists()),
            "mlflow.source.name": "unlabeled",
            NOTE: described.of_run(self.record, self.id, planned.row, planned.seed),
            **{f"protocol:{metric}": how for metric, how in protocols.items()},
            **{f"environment:{name}": value for name, value in versions().items()},
        }
        self._begun[identity.fingerprint] = (identity.training, planned.row, planned.seed)
        self._append(
            identity.fingerprint,
            "open",
            name=planned.name,
            tags=tags,
            params={path: str(value) for path, value in planned.config.parameters().items() if of(path)},
            config=planned.config.model_dump(mode="json", serialize_as_any=True, include=set(only) or None),
            dataset=described.of_data(data),
        )

    def add(
        self,
        fingerprint: str,
        *,
        params: Mapping[str, str] | None = None,
        metrics: Metrics | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log more of a run."""
        self._append(fingerprint, self.adds, params=params or {}, metrics=metrics or {}, tags=tags or {})

    def started(self, fingerprint: str, event: Started) -> None:
        """Log where the run computes, and the epochs that an interrupted driver did not get to log."""
        self._append(fingerprint, "log", tags={f"environment:{k}": v for k, v in event.environment.items()})
        for epoch, metrics in enumerate(event.epochs, start=1):
            self.epoch(fingerprint, EpochDone(epoch, metrics))

    def epoch(self, fingerprint: str, event: EpochDone) -> None:
        """Log an epoch's metrics, once."""
        self._append(fingerprint, "log", epoch=event.epoch, metrics=event.metrics)

    def progress(self, fingerprint: str, event: Progress) -> None:
        """Log the losses within epochs."""
        self._append(fingerprint, "log", losses=list(event.losses.items()))

    def finished(self, fingerprint: str, event: Finished) -> None:
        """Log the final metrics and files, and the notes as a tag, a line each; end the run."""
        tags = {"unlabeled.notes": scrub("\n".join(event.notes))} if event.notes else {}
        training, row, seed = self._begun.pop(fingerprint)
        tags[NOTE] = described.of_run(self.record, self.id, row, seed, event.metrics)
        self._append(fingerprint, "log", metrics=event.metrics, tags=tags)
        files = None if event.files == Path() else str(event.files)
        if files is not None and event.files.is_relative_to(self.store.home):  # which may be moved before it is sent
            files = str(event.files.relative_to(self.store.home))
        self._append(fingerprint, "end", status="FINISHED", files=files)
        self._weights[training] = fingerprint

    def failed(self, fingerprint: str, event: Failed) -> None:
        """End the run as failed, with its reason."""
        self._append(fingerprint, "log", tags={"unlabeled.reason": scrub(event.reason)})
        self._append(fingerprint, "end", status="FAILED")

    def killed(self, fingerprint: str) -> None:
        """End the run as stopped from outside; its checkpoints are kept."""
        self._append(fingerprint, "end", status="KILLED")

    def close(self) -> None:
        """Wait until MLflow has everything, and give the leases back.

        Raises:
            UserError: MLflow stays away or keeps us out. The results wait on disk, and the line says how to send them.
        """
        if (sender := self._sender) is None:
            return
        journal, self._sender = sender.journal, None
        reason = sender.finish()
        waiting = journal.runs_waiting()
        if reason is None:
            with contextlib.suppress(AwayError, DeniedError, RefusedError):  # others find out by its silence
                self.leases.leave()
            journal.remove()
            *lines, last = [*refused_in_words(sender), ""] if not sender.refused else refused_in_words(sender)
            for line in lines:
                sender.say(line)
            if last:
                raise UserError(last)
            return
        journal.close()
        raise UserError(line_of_waiting(self.store, journal, len(waiting), reason))

    def flush(self) -> None:
        """Wait until what was logged so far is sent, or the store is away."""
        if self._sender is not None:
            self._sender.flush()

    def logged(self, fingerprint: str) -> Run | None:
        """Return the MLflow run of a run of this study, what was logged so far in it; None where it has none."""
        self.flush()
        with translated_errors():
            return find_run(self.store.client, self.id, fingerprint)

    def _finished_meanwhile(self, fingerprint: str) -> bool:
        assert self._sender is not None
        self._sender.writer.known.add(fingerprint)
        with translated_errors():
            found = find_run(self.store.client, self.id, fingerprint)
        return found is not None and found.info.status == "FINISHED"

    def _append(self, fingerprint: str, what: str, **fields: Any) -> None:
        assert self._sender is not None, "open comes first"
        entry = {"run": fingerprint, "do": what, "at": int(time.time() * 1000), **loggable(fields)}
        self._sender.journal.append(entry)
