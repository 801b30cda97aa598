"""One run from start to end, wherever it is: resume, train, follow, checkpoint, probe, and say what happened.

``execute`` runs in this process or in a Tune trial's; what it says through ``report`` is all that the driver learns.
"""

import contextlib
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from unlabeled.platform import collective
from unlabeled.platform.collective.waiting import by_first
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.errors import UserError
from unlabeled.platform.processor import Processor, breaks_process, forget_gpu_memory
from unlabeled.platform.train import checkpoint, trained
from unlabeled.platform.train.clock import Clock
from unlabeled.platform.train.events import (
    EpochDone,
    Failed,
    Finished,
    Metrics,
    Noted,
    Progress,
    Report,
    Started,
    forwarding_warnings,
)
from unlabeled.platform.train.loaded import data_of, identify, load_other
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.platform.train.memory import TrainingMemory
from unlabeled.platform.train.pictures import draw_all
from unlabeled.platform.train.profiled import as_asked
from unlabeled.platform.train.saving import Saver
from unlabeled.platform.train.stopping import Stop
from unlabeled.platform.train.untrained import measure_untrained

PROGRESS_SECONDS = 1.0

logger = logging.getLogger(__name__)


def execute_safely(run: RunConfig, home: Path, gpus: float | None, report: Report, trained: Path | None = None) -> bool:
    """Execute a run on this process's own; an exception of it is its failure, and nobody else's.

    Returns:
        Whether this process can do another run: not after an error of the GPU, which whatever follows would end with.
    """
    forget_gpu_memory()  # of a run that its search stopped, which never came to the end of this
    with forwarding_warnings(report) as say:
        try:
            processor = Processor.here(run.precision, gpus)
            execute(run, data_of(run), home, processor, say, trained)
        except UserError as error:
            say(Failed(str(error)))
        except Exception as error:
            broken = breaks_process(error)
            say(Failed(f"{type(error).__name__}: {error}", broken))
            if broken:
                return False
    forget_gpu_memory()  # not before: an error holds on to what was computed
    return True


def execute(
    run: RunConfig, data: Data, home: Path, processor: Processor, report: Report, trained: Path | None = None
) -> None:
    """Run ``run`` to its end, from its newest checkpoint where it has one.

    Its folder under ``home`` is named by its fingerprint, so whoever runs it next goes on where it stopped.

    Args:
        run: what to do.
        data: its data.
        home: where its checkpoints lie.
        processor: what to compute on.
        report: takes what it says.
        trained: what :mod:`~unlabeled.platform.train.trained` kept of a run with the same training: then it only
            measures.
    """
    _Execution(run, data, home, processor, report, trained).to_the_end()


class _Execution:
    """A run on its way. Several workers train and evaluate together; the first one saves and reports."""

    def __init__(
        self,
        run: RunConfig,
        data: Data,
        home: Path,
        processor: Processor,
        report: Report,
        kept: Path | None = None,
    ) -> None:
        self.clock = Clock()
        self.memory = TrainingMemory(processor)
        self.run, self.data, self.processor, self.report = run, data, processor, report
        self.folder = home / "work" / identify(run).fingerprint
        self.is_first = collective.rank() == 0
        self.evaluation = Evaluation(run, data, processor, load_other(run, data), self.folder)
        self.untrained = measure_untrained(run, data, home, processor, self.evaluation)
        self.training = Training(run, data, processor)
        self.saver = Saver(self.folder, self._note_unsaved) if self.is_first else None
        self.epochs: list[Metrics] = []
        self.followed: set[str] = set()
        saved = _load_together(self.folder, processor)
        if saved is not None:
            own = self.training.method.state_dict()
            remedy = "remove it, and the run is trained again"
            checkpoint.check_weights(saved["training"]["method"], own, f"the checkpoint in {self.folder}", remedy)
            self.training.restore(saved["training"])
            self.epochs, self.followed = saved["epochs"], set(saved["followed"])
            self.clock.add(saved["clock"])
            self.evaluation.notes.extend(saved["notes"])
        elif kept is not None:
            self._take_over(kept)
        self.spoke_at = time.monotonic()
        report(
            Started(_environment(processor, self.training.compiler or "none"), self.training.step, list(self.epochs))
        )

    def to_the_end(self) -> None:
        with self.saver or contextlib.nullcontext():
            with contextlib.closing(self.training.steps()) as steps:
                self._train(steps)
            self._finish()

    def _train(self, steps: Iterator[int]) -> None:
        stop = Stop()
        if self.is_first:
            where = self.folder / "files" / "profile"
            steps = as_asked(steps, self.processor.device, where, lambda text: self.report(Noted(text)))
        for step in stop.between(steps):
            epoch_ends = step % self.training.steps_per_epoch == 0
            is_due = self.saver is not None and self.saver.is_due(0.0 if epoch_ends else None)
            is_last = stop.is_asked or step == self.training.total_steps
            self.memory.follow(last=epoch_ends or is_due or is_last)
            if epoch_ends:
                self._end_epoch(saves=is_due or is_last)
            elif is_due or is_last:
                self._save()
            if stop.is_asked:
                raise KeyboardInterrupt
            if step < self.training.total_steps:
                self.memory.begin(self.training.method, self.training.optimizer)
            if time.monotonic() - self.spoke_at > PROGRESS_SECONDS:
                self._say_progress()

    def _take_over(self, kept: Path) -> None:
        """Take the weights of a run that is trained; its epochs too, but for what another evaluation saw in them."""
        history = trained.load(self.training.method, kept)
        _check_same(0.0 if history is None else 1.0, f"the weights in {kept} or not", self.processor)
        if history is None:
            logger.warning("the weights in %s are not whole, so the run is trained again", kept)
            return
        self.training.step = self.training.total_steps
        self.clock.add(history.seconds)
        self.memory.training_mb = history.memory_mb
        self.epochs, self.followed = history.epochs, set(history.followed)
        if history.followed_by == self.run.evaluation.following():
            self.evaluation.notes.extend(history.notes)
            return
        self.epochs = [{k: v for k, v in epoch.items() if k not in self.followed} for epoch in self.epochs]
        found = self.evaluation.follow(self.training.method, " after the last epoch")
        self.epochs[-1] |= found
        self.followed = set(found)

    def _end_epoch(self, *, saves: bool) -> None:
        metrics = self.training.end_epoch()
        if self.evaluation.due(self.training.epoch):
            found = self.evaluation.follow(self.training.method, f" in epoch {self.training.epoch}")
            metrics |= found
            self.followed |= found.keys()
        metrics = self.evaluation.notes.measured(metrics, f" in epoch {self.training.epoch}")
        self.epochs.append(metrics)
        if saves:
            self._save()
        if self.training.meter.losses:
            self._say_progress()
        self.report(EpochDone(self.training.epoch, metrics))

    def _save(self) -> None:
        if self.saver is not None:
            state = {
                "training": self.training.state(),
                "epochs": self.epochs,
                "followed": sorted(self.followed),
                "clock": self.clock.read(),
                "notes": list(self.evaluation.notes),
            }
            self.saver.save(self.training.step, state)

    def _note_unsaved(self, reason: str) -> None:
        """Warn, once, that a checkpoint could not be written; the run goes on with the one before."""
        before = len(self.evaluation.notes)
        self.evaluation.notes.add("a checkpoint was not written", reason)
        if len(self.evaluation.notes) > before:
            logger.warning("a checkpoint of step %d was not written: %s", self.training.step, reason)

    def _say_progress(self) -> None:
        meter = self.training.meter
        speed = meter.steps * self.run.batch_size / max(meter.seconds, 1e-9)
        speed = speed or self.epochs[-1]["train/images_per_second"]
        self.report(Progress(self.training.step, self.training.total_steps, speed, self.training.take_losses()))
        self.spoke_at = time.monotonic()

    def _finish(self) -> None:
        by_first(self._keep)
        final = self.evaluation.final(self.training.method)
        if not self.is_first:
            return
        encoder, notes = self.training.method.encoder, self.evaluation.notes
        draw_all(self.training.method, self.run, self.data, self.folder / "files", self.processor, notes)
        wall_seconds, cpu_seconds = self.clock.read()
        system = {
            "system/wall_seconds": wall_seconds,
            "system/cpu_seconds": cpu_seconds,
            "system/training_seconds": sum(epoch["train/seconds"] for epoch in self.epochs),
            "system/peak_memory_mb": self.memory.peak_mb(),
            "system/encoder_parameters": float(sum(p.numel() for p in encoder.parameters())),
        }
        if self.memory.training_mb is not None:
            system["system/training_memory_mb"] = self.memory.training_mb
        assert self.saver is not None
        self.saver.close()  # whoever hears that it is finished may remove its folder
        self.report(Finished({**final, **self.untrained, **system}, self.folder / "files", tuple(notes)))

    def _keep(self) -> None:
        history = trained.History(
            self.epochs,
            sorted(self.followed),
            self.run.evaluation.following(),
            list(self.evaluation.notes),
            self.clock.read(),
            self.memory.training_mb,
        )
        trained.save(self.training.method, self.run, self.data.format, history, self.folder / "files")


def _load_together(folder: Path, processor: Processor) -> checkpoint.State | None:
    """Load the newest sound checkpoint, the same on all workers.

    Raises:
        UserError: workers on other nodes see other files.
    """
    saved = checkpoint.load_newest(folder)
    _check_same(saved["training"]["step"] if saved else -1, f"checkpoints of different steps in {folder}", processor)
    return saved


def _check_same(seen: float, what: str, processor: Processor) -> None:
    everywhere = collective.gather(torch.tensor([float(seen)], device=processor.device))
    if (everywhere != seen).any():
        raise UserError(f"workers see {what}: {[int(each) for each in everywhere]}; give a --home that all nodes share")


def _environment(processor: Processor, compiler: str) -> dict[str, str]:
    return {
        "processor": processor.name,
        "device": processor.device.type,
        "precision": processor.precision,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),  # rounding differs between them
        "compiler": compiler,
        "threads": str(torch.get_num_threads()),
        "workers": str(collective.world_size()),
        "host": socket.gethostname(),
    }
