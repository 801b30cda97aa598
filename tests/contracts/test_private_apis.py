"""Of libraries' insides that are used here for want of something public: each is there still, by name."""

import importlib
import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest

from unlabeled.platform.track import histories, moved

TABLES = "mlflow.store.tracking.dbmodels.models"


def _has(module: str, *path: str) -> Callable[[], bool]:
    def look() -> bool:
        here: Any = importlib.import_module(module)
        for name in path:
            if not hasattr(here, name):
                return False
            here = getattr(here, name)
        return True

    return look


def _columns() -> bool:
    tables = importlib.import_module(TABLES).Base.metadata.tables
    must = [("experiments", "artifact_location"), ("runs", "artifact_uri"), ("experiment_tags", "key")]
    return set(must[:2]) <= set(moved._ADDRESSES) and all(column in tables[table].columns for table, column in must)


def _route() -> bool:
    from mlflow.server import app

    return any(str(rule) == histories._ROUTE for rule in app.url_map.iter_rules())


def _callbacks() -> bool:
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    source = inspect.getsource(DataParallelTrainer._create_default_callbacks)
    return "DatasetsCallback(" in source


def _frozen_id() -> bool:
    from optuna.trial import create_trial

    return hasattr(create_trial(value=0.0), "_trial_id")


USED: dict[str, tuple[str, str, Callable[[], bool]]] = {  # what -> library, where and why, whether it is there
    "the client's _tracking_client": (
        "mlflow",
        "platform/track: stores answer for many runs at once",
        lambda: "_tracking_client" in inspect.getsource(_mlflow_client()),
    ),
    "SqlAlchemyStore.ManagedSessionMaker": (
        "mlflow",
        "platform/track/embedded.py: quick reading",
        lambda: "ManagedSessionMaker" in inspect.getsource(_sql_store().__init__),
    ),
    "SqlAlchemyStore.get_metric_history_bulk": (
        "mlflow",
        "platform/track/histories.py: many runs in a call",
        lambda: hasattr(_sql_store(), "get_metric_history_bulk"),
    ),
    "RestStore.get_host_creds": (
        "mlflow",
        "platform/track/histories.py: asks a server's own route",
        lambda: "get_host_creds" in inspect.getsource(_rest_store()),
    ),
    **{
        f"the table class {table}.{column}": (
            "mlflow",
            "platform/track/embedded.py: quick reading",
            _has(TABLES, table, column),
        )
        for table, columns in {
            "SqlRun": (
                "run_uuid",
                "name",
                "user_id",
                "status",
                "start_time",
                "end_time",
                "lifecycle_stage",
                "artifact_uri",
                "experiment_id",
            ),
            "SqlParam": ("run_uuid", "key", "value"),
            "SqlTag": ("run_uuid", "key", "value"),
            "SqlLatestMetric": ("run_uuid", "key", "value", "is_nan"),
        }.items()
        for column in columns
    },
    "the columns of artifact addresses": ("mlflow", "platform/track/moved.py: a home that was moved", _columns),
    "the route of metric histories": ("mlflow", "platform/track/histories.py: many runs in a call", _route),
    "DataParallelTrainer._create_default_callbacks": (
        "ray",
        "platform/drive/workers.py: no process for data sets",
        _callbacks,
    ),
    "FrozenTrial._trial_id": ("optuna", "platform/search/memory.py: a trial that another process began", _frozen_id),
    "torch.distributed's _get_default_store": (
        "torch",
        "platform/collective/__init__.py: the group is made anew",
        _has("torch.distributed.distributed_c10d", "_get_default_store"),
    ),
    "VisionTransformer._pos_embed": (
        "timm",
        "platform/encoder.py: tokens before the blocks",
        _has("timm.models.vision_transformer", "VisionTransformer", "_pos_embed"),
    ),
}


def _mlflow_client() -> Any:
    return importlib.import_module("mlflow").MlflowClient


def _sql_store() -> Any:
    return importlib.import_module("mlflow.store.tracking.sqlalchemy_store").SqlAlchemyStore


def _rest_store() -> Any:
    return importlib.import_module("mlflow.store.tracking.rest_store").RestStore


@pytest.mark.parametrize("what", USED)
def test_what_is_used_of_a_librarys_inside_is_there(what: str) -> None:
    library, why, is_there = USED[what]
    try:
        found = is_there()
    except (ImportError, AttributeError, KeyError):
        found = False
    if not found:
        pytest.fail(f"{what} is gone from {library} {version(library)}; {why} needs another way", pytrace=False)


def test_what_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.distributed_c10d._get_default_store", None)
    monkeypatch.delattr("torch.distributed.distributed_c10d._get_default_store")
    with pytest.raises(pytest.fail.Exception, match=r"_get_default_store is gone from torch \d.*needs another way"):
        test_what_is_used_of_a_librarys_inside_is_there("torch.distributed's _get_default_store")
