"""What a search adds to the record and the sight of its runs: points, stages, scores, and trials that were pruned."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rich.markup import escape

from unlabeled.platform.config import RunConfig, plain
from unlabeled.platform.drive.display import Display
from unlabeled.platform.drive.recorder import Recorder
from unlabeled.platform.metrics import duration, unit_of
from unlabeled.platform.search.declared import IMAGES_SEEN
from unlabeled.platform.track import StudyLog
from unlabeled.platform.train.events import Failed, Finished, Metrics

Stage = Literal["trial", "repeat", "test"]


@dataclass(frozen=True)
class Role:
    """What a run is to its search.

    Attributes:
        stage: a trial; a repetition of one of the best over another seed; or one that measures on test.
        trial: the number of the point's trial; None for the base, which is none.
        point: the sampled parameters by name, as the sampler knows them.
        built: path -> the value that was found in what is built.
    """

    stage: Stage
    trial: int | None
    point: Mapping[str, Any]
    built: Mapping[str, Any]

    def parameters(self) -> dict[str, str]:
        """Return what is logged of it as MLflow parameters."""
        found = {"search.stage": str(self.stage)}
        if self.trial is not None:
            found["search.trial"] = str(self.trial)
        found |= {f"sampled.{name}": str(value) for name, value in self.point.items()}
        return found | {f"built.{path}": str(plain(value)) for path, value in self.built.items()}


class SearchRecorder(Recorder):
    """A recorder that knows the role of each run.

    Attributes:
        roles: a run's number -> its role, set before its first event.
    """

    def __init__(self, base: RunConfig, home: Path, log: StudyLog) -> None:
        super().__init__([], base, home, log)
        self.roles: dict[int, Role] = {}
        self._pruned: list[Path] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the log; and remove what a pruned run's process, which writes beside training, still wrote."""
        for folder in self._pruned:
            shutil.rmtree(folder, ignore_errors=True)
        super().__exit__(kind, error, trace)

    def parameters(self, number: int) -> Mapping[str, str]:
        """Return a run's role as parameters."""
        return self.roles[number].parameters()

    def images_seen(self, number: int, epochs: int) -> float:
        """Return how many pictures a run has trained on after some epochs, repeated ones counted again."""
        config = self.planned[number].config
        return float(len(self.data[config.data].pretrain) // config.batch_size * config.batch_size * epochs)

    def prune(self, display: "SearchDisplay", number: int, epoch: int) -> None:
        """End a run that its search has stopped: killed, with the reason. Its checkpoints go, for it never goes on."""
        metrics = {"search/pruned_epoch": float(epoch), IMAGES_SEEN: self.images_seen(number, epoch)}
        if number in self._run_ids:  # it is not where another driver on the same store has it
            self.stop(number, f"pruned after epoch {epoch}", metrics)
        display.pruned(self.planned[number].name, epoch)
        self._pruned.append(self.home / "work" / self.fingerprint(number))
        shutil.rmtree(self._pruned[-1], ignore_errors=True)

    def known(self, number: int) -> Metrics | None:
        """Return the metrics of a run that was finished before this command began; None where it was not."""
        fingerprint = self.fingerprint(number)
        run = self.log.logged(fingerprint) if self.log.is_finished(fingerprint) else None
        return None if run is None else dict(run.data.metrics)


class SearchDisplay(Display):
    """Says of each trial how it ended, and which is the best so far."""

    best = ""

    def pruned(self, name: str, epoch: int) -> None:
        """Say that a trial was stopped."""
        self._active.pop(name, None)
        self._pace.ended(name, 0.0)  # as long as it was seen to go on
        self.done += 1
        self._say(f"{self._place()} {escape(name)} [dim]pruned after epoch {epoch}[/]{self._after()}")

    def say(self, line: str) -> None:
        """Say something of the whole search."""
        self._say(escape(line))

    def _end(self, name: str, event: Finished | Failed) -> None:
        self.done += 1
        if isinstance(event, Failed):
            self.failed += 1
            self._say(f"{self._place()} {escape(name)} [red]failed[/]: {escape(event.reason)}", matters=True)
            return
        value = event.metrics.get(self.measure)
        score = "" if value is None else f" {self.measure} [bold]{unit_of(self.measure).value(value)}[/],"
        took = duration(event.metrics["system/wall_seconds"])
        self._say(f"{self._place()} {escape(name)}{score} {took}{self._after()}")

    def _place(self) -> str:
        return f"[dim]{self.done}/{self.total}[/]"

    def _after(self) -> str:
        return f"{f'; best so far {escape(self.best)}' if self.best else ''}{self._left()}"
