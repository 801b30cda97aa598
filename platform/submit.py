"""Send a command to a Ray cluster as a job: pack the code, submit, follow the log.

What ``ray job submit --working-dir . -- python -m unlabeled …`` does, with nothing but the code in the package,
one line for each mistake, and time for a job that is stopped to say so in MLflow.
"""

import asyncio
import logging
import os
import shlex
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import unlabeled
from unlabeled.platform.addresses import without_secrets
from unlabeled.platform.commit import VARIABLE, commit
from unlabeled.platform.errors import UserError

MOST_BYTES = 100 * 2**20  # what Ray's job server takes
STOP_SECONDS = 30  # for a job that is stopped to end its runs; Ray's own 3 are short for a far MLflow server
_CONNECT_SECONDS = 5.0
_FILES = (".py", ".json")  # of words: a study of one's own, a run's configuration
_PORTS = {"http": 80, "https": 443}


class Cluster:
    """The job server of a Ray cluster.

    Args:
        address: where its dashboard is, such as ``http://head:8265``.

    Raises:
        UserError: it does not answer, or does not know this user's token.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        _check_answers(self.address)
        _use_token()
        os.environ["RAY_API_SERVER_ADDRESS"] = self.address  # else RAY_ADDRESS would win over the one that was given
        from ray.exceptions import AuthenticationError
        from ray.job_submission import JobSubmissionClient

        for noisy in ("packaging", "working_dir"):
            logging.getLogger(f"ray._private.runtime_env.{noisy}").setLevel(logging.ERROR)
        for noisy in ("dashboard_sdk", "job.sdk"):
            logging.getLogger(f"ray.dashboard.modules.{noisy}").setLevel(logging.ERROR)
        try:
            self._client = JobSubmissionClient(self.address)
        except AuthenticationError as error:
            said = str(error).splitlines()[0].partition(": ")[2].rstrip(".")
            raise UserError(
                f"the cluster at {self.address} wants its token ({said.lower()}); give it in RAY_AUTH_TOKEN, the "
                "file that RAY_AUTH_TOKEN_PATH names, or ~/.ray/auth_token; `ray get-auth-token` on the cluster says it"
            ) from None
        except Exception as error:  # whatever answers there: a proxy, another program, a very old Ray
            raise UserError(
                f"what answers at {self.address} is no Ray job server ({_first_line(error)}); "
                "give the address of the cluster's dashboard with --address"
            ) from None

    def submit(self, words: Sequence[str]) -> str:
        """Submit ``python -m unlabeled WORDS`` with this code and the files that words name; return the job's id."""
        variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS), VARIABLE: commit()}
        if store := os.environ.get("MLFLOW_TRACKING_URI"):
            variables["MLFLOW_TRACKING_URI"] = without_secrets(store)  # the dashboard shows what a job is given
        with tempfile.TemporaryDirectory() as folder:
            pack(Path(folder))
            words = [_packed(word, Path(folder)) for word in words]
            try:
                job: str = self._client.submit_job(
                    entrypoint=shlex.join(["python", "-m", "unlabeled", *words]),
                    runtime_env={"working_dir": folder, "env_vars": variables},
                )
            except Exception as error:
                raise UserError(f"the cluster at {self.address} refuses the job: {_first_line(error)}") from None
        return job

    def follow(self, job: str) -> int:
        """Print a job's log until it ends, and return its exit code; 130 if it was stopped."""
        try:
            asyncio.run(self._print_log(job))
            info: Any = self._client.get_job_info(job)
            while not info.status.is_terminal():  # the log ends a moment earlier
                time.sleep(0.2)
                info = self._client.get_job_info(job)
        except Exception as error:
            raise UserError(
                f"lost the cluster at {self.address} ({_first_line(error)}); the job {job} may go on: "
                f"{self.how_to_follow(job)}"
            ) from None
        if info.status == "STOPPED":
            return 130
        if info.status == "SUCCEEDED":
            return 0
        if info.driver_exit_code is None:  # it never began
            raise UserError(f"the job {job} failed: {info.message}")
        return int(info.driver_exit_code)

    def how_to_follow(self, job: str) -> str:
        """Return the command that prints a job's log."""
        return f"`ray job logs --follow --address {without_secrets(self.address)} {job}`"

    def how_to_stop(self, job: str) -> str:
        """Return the command that stops a job."""
        return f"`ray job stop --address {without_secrets(self.address)} {job}`"

    async def _print_log(self, job: str) -> None:
        async for lines in self._client.tail_job_logs(job):
            print(lines, end="", flush=True)


def pack(folder: Path) -> None:
    """Copy the package there, links followed, caches left out.

    Ray would pack a whole checkout otherwise: tests, pictures, downloaded data sets.

    Raises:
        UserError: it is more than Ray's job server takes.
    """
    package = Path(unlabeled.__file__).parent
    shutil.copytree(package, folder / "unlabeled", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    if sum(sizes.values()) > MOST_BYTES:
        largest = max(sizes, key=lambda path: sizes[path])
        raise UserError(
            f"the code is {sum(sizes.values()) / 2**20:.0f} MiB, and Ray takes {MOST_BYTES / 2**20:.0f} MiB of a job; "
            f"move data out of {package}: {largest.relative_to(folder)} is the largest file"
        )


def _packed(word: str, folder: Path) -> str:
    """Pack the file that a word names, a study's or a configuration, and return the word that names it there."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    path = Path(value).expanduser()
    if path.suffix not in _FILES or not path.is_file():
        return word
    place = folder / "given" / path.name
    place.parent.mkdir(exist_ok=True)
    shutil.copy(path, place)
    return f"{option}{equals}{place.relative_to(folder)}"


def _check_answers(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise UserError(
            f"--address takes the address of a cluster's dashboard, such as http://head:8265, got {address!r}"
        )
    try:
        socket.create_connection((parts.hostname, parts.port or _PORTS[parts.scheme]), _CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"no Ray job server answers at {address} ({getattr(error, 'strerror', None) or error}); give the "
            "address of the cluster's dashboard with --address; its port must be open, and its head have ray[default]"
        ) from None


def _use_token() -> None:
    """Let Ray send the user's token, if there is one: unless RAY_AUTH_MODE says so, it sends none."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    place = Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
    if named and not place.is_file():
        raise UserError(f"RAY_AUTH_TOKEN_PATH names {named}, where there is no file; save the cluster's token there")
    if os.environ.get("RAY_AUTH_TOKEN") or place.is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _first_line(error: Exception) -> str:
    return next((line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__)
