"""The home: the folder where a project's runs, store and reports lie; and whether it will last."""

import os
from pathlib import Path

from unlabeled.platform.errors import UserError


def is_in_job() -> bool:
    """Tell whether this process is a job that somebody submitted to a cluster."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def is_in_snapshot(path: Path) -> bool:
    """Tell whether a path lies in what Ray unpacks for a job, and throws away after it."""
    return is_in_job() and "runtime_resources" in path.absolute().parts


def find_home(home: str | Path | None = None) -> Path:
    """Return the home: as given, else ``UNLABELED_HOME``, else ``runs/`` in the current folder."""
    return Path(home or os.environ.get("UNLABELED_HOME") or "runs").expanduser().absolute()


def has_store(home: Path) -> bool:
    """Tell whether there is a store to read; opening one that is not there would make it."""
    return "MLFLOW_TRACKING_URI" in os.environ or (home / "mlflow.db").is_file()


def make_home(home: str | Path | None = None) -> Path:
    """Return the home, made where it is missing.

    Raises:
        UserError: it can't be made or written to, or will not last.
    """
    found = find_home(home)
    if is_in_snapshot(found):
        raise UserError(
            f"a job's own folder is thrown away after it, and the home {found} lies there; "
            "give a folder that lasts, and that all nodes see, with --home or UNLABELED_HOME"
        )
    try:
        found.mkdir(parents=True, exist_ok=True)
        probe = found / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"the home {found} can't be written ({error.strerror}); give another with --home or UNLABELED_HOME"
        ) from None
    return found
