"""What MLflow's UI shows of a study beyond its runs: the report, and the columns that the study is about."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow.entities import RunTag

from unlabeled.platform.track.connection import REPORT
from unlabeled.platform.track.described import BASE, NOTE, REPORT_ROW, ROW, VIEW, opening
from unlabeled.platform.track.store import Store
from unlabeled.platform.train.loggable import MAX_TAG, key_name, plain_text


def log_report(store: Store, study: str, folder: Path, description: str, tags: Mapping[str, str]) -> str:
    """Log a report's files as artifacts of a run of its own, and return that run's id, the same one every time.

    Args:
        store: where the study is.
        study: its name.
        folder: the report's files.
        description: Markdown, shown above them.
        tags: what the list of runs may show of it.

    Raises:
        MlflowException: the store can't be written.
    """
    experiment = store.experiment(study).experiment_id
    found = store.client.search_runs([experiment], filter_string=f"tags.`{REPORT}` = 'true'", max_results=1)
    run = found[0] if found else store.client.create_run(experiment, tags={REPORT: "true"}, run_name="report")
    run_id: str = run.info.run_id
    named = {ROW: REPORT_ROW, NOTE: description, "mlflow.source.name": "unlabeled", **tags}
    store.client.log_batch(
        run_id, tags=[RunTag(key_name(name), plain_text(value, MAX_TAG)) for name, value in named.items()]
    )
    store.artifacts(run).log_artifacts(str(folder), "report")  # type: ignore[no-untyped-call]
    store.client.set_terminated(run_id, "FINISHED", end_time=run.info.start_time)  # it took no time of its own
    return run_id


def set_view(
    store: Store,
    study: str,
    measures: Sequence[str],
    parameters: Sequence[str],
    tags: Sequence[str],
    *,
    rows: Sequence[str],
    base: str,
) -> None:
    """Choose the columns of the study's page in the UI, which by itself shows neither parameters nor metrics.

    See :func:`~unlabeled.platform.track.described.opening`; :meth:`Store.pages` leads to it. ``base`` is the digest of
    the newest one.
    """
    experiment = store.experiment(study).experiment_id
    others = store.client.search_runs([experiment], filter_string=f"tags.`{BASE}` != '{base}'", max_results=1)
    state = opening(measures, parameters, tags, rows, has_bases=bool(others))
    store.client.set_experiment_tag(experiment, VIEW, state)
