"""What MLflow's errors mean: is the store away for now, are we kept out of it, or did it refuse this one thing?"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from unlabeled.platform.addresses import scrub

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Its own are 7 tries of 120 s: a call to a server that is away would hang for minutes. The journal tries again.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
_PASSING = {
    *("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "DEADLINE_EXCEEDED", "REQUEST_LIMIT_EXCEEDED"),
    *("RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED", "RESOURCE_CONFLICT"),
}
_KEPT_OUT = {"PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED", "UNAUTHENTICATED"}


class AwayError(Exception):
    """The store does not answer, or says that it can't for now: worth trying again."""


class DeniedError(Exception):
    """The store keeps us out: trying again changes nothing."""


class RefusedError(Exception):
    """The store will not take this one thing: others may go on."""


def quiet_mlflow() -> None:
    """Set how MLflow behaves in this process, where the user has not."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for noisy in ("alembic", "mlflow.store.db.utils"):  # the second prints a traceback for what is tried again
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise what MLflow raises as one of this module's errors, its reason in one line."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise kind_of(error)(first_line(error)) from error


def kind_of(error: Exception) -> type[Exception]:
    """Return which of this module's errors an error of MLflow's, or of its HTTP library's, is."""
    status = getattr(getattr(error, "response", None), "status_code", None)  # uploads raise HTTP errors as they are
    code = getattr(error, "error_code", None)
    if status in (401, 403) or code in _KEPT_OUT:
        return DeniedError
    if status is not None:
        return AwayError if status == 429 or status >= 500 else RefusedError
    if code is not None:
        return AwayError if code in _PASSING else RefusedError
    return RefusedError if isinstance(error, FileNotFoundError) else AwayError


def first_line(error: Exception) -> str:
    """Return an error's message cut to what a person can read."""
    if "failed with timeout exception" in str(error):
        return "no answer in time"
    if "failed with exception" in str(error) and "ConnectionPool(" in str(error):
        return "no connection"
    lines = scrub(str(error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
