"""Metric histories of many runs in few calls: one per metric and some hundred runs, not one per metric and run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.utils.rest_utils import http_request, verify_rest_response

_ROUTE = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"  # what MLflow's own UI asks
_RUNS_PER_CALL = 100  # most that the route takes
_MAX_POINTS = 25_000  # most that it gives, without a word about the rest


@dataclass(frozen=True, slots=True)
class Point:
    """A logged value of a metric."""

    run_id: str
    metric: str
    step: int
    value: float


def histories(client: MlflowClient, run_ids: Sequence[str], metrics: Sequence[str]) -> Iterator[Point]:
    """Give every logged value, by metric, then run in the order given, then as logged."""
    for metric in metrics:
        for first in range(0, len(run_ids), _RUNS_PER_CALL):
            yield from _of_few(client, run_ids[first : first + _RUNS_PER_CALL], metric)


def _of_few(client: MlflowClient, run_ids: Sequence[str], metric: str) -> Iterator[Point]:
    points = _ask(client, run_ids, metric)
    if len(points) < _MAX_POINTS:
        order = {run_id: place for place, run_id in enumerate(run_ids)}
        yield from sorted(points, key=lambda point: order[point.run_id])
    elif len(run_ids) > 1:
        middle = len(run_ids) // 2
        yield from _of_few(client, run_ids[:middle], metric)
        yield from _of_few(client, run_ids[middle:], metric)
    else:
        yield from _one_by_one(client, run_ids, metric)


def _ask(client: MlflowClient, run_ids: Sequence[str], metric: str) -> list[Point]:
    store = client._tracking_client.store  # MLflow's client has no call for many runs; its stores do
    if hasattr(store, "get_metric_history_bulk"):
        found = store.get_metric_history_bulk(run_ids, metric, _MAX_POINTS)
        return [Point(p.run_id, metric, p.step, p.value) for p in found]
    if not hasattr(store, "get_host_creds"):
        return list(_one_by_one(client, run_ids, metric))
    parameters = {"run_id": list(run_ids), "metric_key": metric, "max_results": _MAX_POINTS}
    answer = http_request(store.get_host_creds(), _ROUTE, "GET", params=parameters)  # type: ignore[no-untyped-call]
    if answer.status_code == 404:  # a server of another make
        return list(_one_by_one(client, run_ids, metric))
    verify_rest_response(answer, _ROUTE)
    return [Point(p["run_id"], metric, int(p["step"]), float(p["value"])) for p in answer.json()["metrics"]]


def _one_by_one(client: MlflowClient, run_ids: Sequence[str], metric: str) -> Iterator[Point]:
    for run_id in run_ids:
        for logged in client.get_metric_history(run_id, metric):
            yield Point(run_id, metric, logged.step, logged.value)
