"""The MLflow UI on an embedded store, as a server of its own."""

import contextlib
import os
import signal
import subprocess
import sys
from types import FrameType
from typing import NoReturn

from unlabeled.platform.track import Store


def serve(store: Store, port: int) -> int:
    """Serve the MLflow UI on the store until it is stopped; return its exit code."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri]
    command += ["--default-artifact-root", (store.home / "artifacts").as_uri()]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore", "MLFLOW_LOGGING_LEVEL": "WARNING"}
    # Jobs of its own are for traces of language models: seven more processes, which take 20 s to start.
    quiet["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    # A session of its own, so that Ctrl-C reaches this process alone, which then ends the server and all it started.
    with subprocess.Popen(command, env=quiet, stdout=subprocess.DEVNULL, start_new_session=True) as server:
        before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
        try:
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)


def _interrupt(number: int, at: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
