"""Measure an encoder that is trained: of a finished run in that run, of another in a run of its own."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.drive.finished import FinishedRun
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Method
from unlabeled.platform.processor import Precision, Processor, precision_here
from unlabeled.platform.study import PlannedRun, Study
from unlabeled.platform.track import Store, StudyLog
from unlabeled.platform.track.over import OverLog
from unlabeled.platform.train import trained
from unlabeled.platform.train.built import build_method
from unlabeled.platform.train.events import Finished, Metrics
from unlabeled.platform.train.further import FurtherEvaluation, further
from unlabeled.platform.train.given import GivenEncoder
from unlabeled.platform.train.loaded import data_of, identify, load_other
from unlabeled.platform.train.loggable import MAX_TAG, key_name, plain_text
from unlabeled.platform.train.measurable import check_measurements
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.platform.train.protocols import protocols
from unlabeled.platform.train.untrained import measure_untrained

STUDY = "probes"  # the experiment of encoders that no run here trained
_TAKEN_PART = ("encoder", "data", "evaluation", "seed", "precision")  # of a run's settings; the others train
_AREAS = ("test/", "validation/", "untrained/")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Probed:
    """What was measured of an encoder.

    Attributes:
        called: the encoder, or its run, for people.
        run_id: MLflow's run that it is logged in.
        scores: metric -> value, of all that was asked for.
        is_new: whether any was measured now.
        notes: what could not be measured, and why.
    """

    called: str
    run_id: str
    scores: Metrics
    is_new: bool
    notes: tuple[str, ...] = ()


def probe_finished(run: FinishedRun, evaluation: EvaluationConfig, say: Say, gpus: float | None = None) -> Probed:
    """Measure a finished run's encoder by what is asked for and not logged yet, and log it in the same run.

    The run stays finished, with its settings and identity. A number that it has under the same name by another protocol
    is never replaced.

    Raises:
        UserError: the run's data or weights are not what they were, a probe can't score them, another command measures
            the run right now, or a number would be replaced.
    """
    home, asked = run.store.home, further(evaluation, run.config.evaluation.final)
    config = _where_weights_are(run).model_copy(update={"evaluation": asked})
    data = data_of(config)
    _check_same_data(run, data)
    how = _protocols(asked, data)
    known = _logged(run, how)
    left = tuple(each for each, name in asked.keys.items() if not _is_measured(name, asked, known))
    if not left:
        return Probed(run.called, run.id, known, is_new=False)
    config = config.model_copy(update={"evaluation": asked.model_copy(update={"final": left})})
    processor = Processor.here(config.precision, gpus)
    method = build_method(config, data, processor)
    check_measurements(method, config, data, load_other(config, data))
    _give_weights(method, run)
    log = OverLog(run.store, run.record)
    with _in_hand(log, run.fingerprint, run.called, say):
        now = log.logged(run.fingerprint)
        if now is None or now.data.metrics.keys() != run.logged.data.metrics.keys():
            raise UserError(f"another command measured {run.called} meanwhile; give this one again")
        with _evaluation(config, data, processor, home) as measuring:
            say(f"{run.called}: measuring {', '.join(config.evaluation.keys.values())}")
            scores = {**measuring.final(method), **measure_untrained(config, data, home, processor, measuring)}
        log.add(run.fingerprint, metrics=scores, tags=_tags(scores, how))
    return Probed(run.called, run.id, {**known, **_of(how, scores)}, is_new=True, notes=tuple(measuring.notes))


def probe_given(
    given: GivenEncoder,
    on: DataConfig,
    evaluation: EvaluationConfig,
    home: Path,
    say: Say,
    *,
    seed: int = 0,
    precision: Precision = "auto",
    gpus: float | None = None,
) -> Probed:
    """Measure an encoder that no run here trained, and log it in a run of its own in the experiment "probes".

    The same encoder, data and probes are one run: it is measured once. Beside it stands the same encoder untrained.

    Args:
        given: the encoder.
        on: the data, shown to it as it sees them.
        evaluation: what is measured, on ``splits``.
        home: where its run is logged, unless the environment names a store.
        say: takes lines for a person.
        seed: for what probes draw, and of the untrained encoder.
        precision: what it is computed in.
        gpus: as in :class:`~unlabeled.platform.drive.resources.Resources`.

    Raises:
        UserError: the data lack what a probe is told, or the weights do not fit.
    """
    on, data = given.data(on)
    precision = precision_here(gpus) if precision == "auto" else precision
    method = given.method(data.field)
    config = RunConfig.checked(
        method=method,
        data=on,
        encoder=given.config,
        seed=seed,
        precision=precision,
        evaluation=EvaluationConfig(final=evaluation.final, splits=evaluation.splits, follow=(), tsne_images=0),
    )
    processor = Processor.here(precision, gpus)
    built = build_method(config, data, processor)
    check_measurements(built, config, data, load_other(config, data))
    how = _protocols(config.evaluation, data, "as given")
    planned, identity = PlannedRun(row=given.called, seed=seed, config=config), identify(config, data)
    base = identify(config.model_copy(update={"encoder": RunConfig(method=method).encoder}), data).row
    log = Store(home).open_study(_study(planned, how).record("single"))
    if log.is_finished(identity.fingerprint) and (logged := log.logged(identity.fingerprint)) is not None:
        return Probed(given.called, logged.info.run_id, _of(how, logged.data.metrics), is_new=False)
    with _in_hand(log, identity.fingerprint, given.called, say):
        log.begin(planned, identity, base, data, how, only=_TAKEN_PART)
        with _evaluation(config, data, processor, home) as measuring:
            say(f"{given.called}: measuring {', '.join(config.evaluation.keys.values())}")
            untrained = config.with_field("encoder.weights", None)
            scores = {**measuring.final(built), **measure_untrained(untrained, data, home, processor, measuring)}
        log.finished(identity.fingerprint, Finished(scores, notes=tuple(measuring.notes)))
        logged = log.logged(identity.fingerprint)
    run_id = "" if logged is None else logged.info.run_id
    return Probed(given.called, run_id, _of(how, scores), is_new=True, notes=tuple(measuring.notes))


def method_of(run: FinishedRun, processor: Processor) -> Method:
    """Return a finished run's method with its weights, in eval mode.

    Raises:
        UserError: its data are missing, or its weights not whole.
    """
    config = _where_weights_are(run)
    method = build_method(config, data_of(config), processor)
    _give_weights(method, run)
    return method.eval()


def _where_weights_are(run: FinishedRun) -> RunConfig:
    """Return a run's settings; the weights that it started from are those that its home keeps."""
    encoder = run.config.encoder.kept_in(run.store.home / "weights")
    return run.config.model_copy(update={"encoder": encoder})


def _give_weights(method: Method, run: FinishedRun) -> None:
    try:
        is_whole = trained.load(method, run.files) is not None
    except RuntimeError:  # of other shapes
        is_whole = False
    if not is_whole:
        raise UserError(f"the weights of {run.called} in {run.files} are not whole, or another version's; run it again")


def _protocols(evaluation: EvaluationConfig, data: Data, when: str = "last epoch") -> dict[str, str]:
    """Return metric -> how it is measured, of the final measurements alone."""
    every = protocols(evaluation, data, when)
    return {metric: text for metric, text in every.items() if metric.startswith(_AREAS)}


def _tags(scores: Metrics, how: Mapping[str, str]) -> dict[str, str]:
    """Return the protocols of what was measured, and when a run's were added, so that reports show them."""
    told = {metric: how[metric] for metric in scores if metric in how}
    added = {f"probed:{metric}": str(int(time.time())) for metric in told if metric.startswith("test/")}
    return {**{f"protocol:{metric}": text for metric, text in told.items()}, **added}


def _logged(run: FinishedRun, how: Mapping[str, str]) -> Metrics:
    """Return what is asked for that the run has.

    Raises:
        UserError: it has a number of the same name by another protocol.
    """
    data = run.logged.data
    for metric, text in how.items():
        told = data.tags.get(key_name(f"protocol:{metric}"), "an unstated protocol")
        if metric in data.metrics and told != plain_text(text, MAX_TAG):
            raise UserError(
                f"{run.called} has {metric} by {told}, and it would be by {text}; two probes of one kind have two "
                "names where one --set final=[...] lists both"
            )
    return _of(how, data.metrics)


def _of(how: Mapping[str, str], scores: Metrics) -> Metrics:
    """Return those of scores that are asked for."""
    return {metric: scores[metric] for metric in how if metric in scores}


def _is_measured(name: str, asked: FurtherEvaluation, known: Metrics) -> bool:
    """Tell whether a measurement has given a number on each split."""
    return all(any(metric.startswith(f"{split}/{name}/") for metric in known) for split in asked.splits)


def _check_same_data(run: FinishedRun, data: Data) -> None:
    inputs = run.logged.inputs
    given = inputs.dataset_inputs[0].dataset.digest if inputs is not None and inputs.dataset_inputs else "unknown"
    if given != data.checksum[:16]:
        raise UserError(
            f"{run.called} was trained on {data.name} with checksum {given}, and those here have "
            f"{data.checksum[:16]}; bring those data back, name them with --data-root, or measure on others with --data"
        )


@contextlib.contextmanager
def _in_hand(log: StudyLog, fingerprint: str, called: str, say: Say) -> Iterator[None]:
    """Hold a run, so that no other command measures it meanwhile; where that fails it is given back as it was.

    Raises:
        UserError: another command has it.
    """
    log.open(say)
    try:
        if log.claim(fingerprint) not in ("ours", "away"):
            raise UserError(f"{called} is in the hands of {log.holder(fingerprint)}; wait for that")
        try:
            yield
        except BaseException:
            log.killed(fingerprint)
            raise
    finally:
        log.close()


@contextlib.contextmanager
def _evaluation(config: RunConfig, data: Data, processor: Processor, home: Path) -> Iterator[Evaluation]:
    """Give what measures, with a folder for what is large that goes with it."""
    (home / "work").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home / "work", prefix="probe-") as folder:
        yield Evaluation(config, data, processor, load_other(config, data), Path(folder))


def _study(planned: PlannedRun, how: Mapping[str, str]) -> Study:
    """Return what the encoders' report is about: the first number of the test split, then the others."""
    measures = [metric for metric in how if metric.startswith("test/")] or list(how)
    return Study(
        name=STUDY,
        question="What do encoders give that were trained elsewhere?",
        source="`unlabeled probe`",
        expected="Nothing in particular.",
        cost="a measurement each",
        profiles={"single": planned.config},
        rows={planned.row: {}},
        seeds=(planned.seed,),
        measure=measures[0],
        also=tuple(measures[1:]),
    )
