"""Send a command to a Ray cluster as a job: pack the code, submit, follow the log.

What ``ray job submit --working-dir . -- python -m unlabeled …`` does, with nothing but the code in the package,
one line for each mistake, and time for a job that is stopped to say so in MLflow.
"""

import asyncio
import importlib.util
import logging
import os
import shlex
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import unlabeled
from unlabeled.platform.addresses import without_secrets
from unlabeled.platform.drive.address import use_token
from unlabeled.platform.errors import UserError
from unlabeled.platform.track.commit import VARIABLE, commit

MAX_BYTES = 100 * 2**20  # what Ray's job server takes
STOP_SECONDS = 30  # for a job that is stopped to end its runs; Ray's own 3 are short for a far MLflow server
FOLDERS = ("platform", "methods", "studies", "dashboards")  # of the package
_CONNECT_SECONDS = 5.0
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Given:
    """A word of a command that names a file here, which goes along with the job.

    Attributes:
        folder: where it lies.
        name: of the file.
        beside: what it needs of its folder, relative to that.
    """

    folder: Path
    name: str
    beside: tuple[Path, ...] = ()

    def pack(self, job: Path, number: int) -> str:
        """Copy the files into a job's folder, apart from those of other words, and return the word for it there."""
        place = job / "given" / str(number)
        for inner in {Path(self.name), *self.beside}:
            (place / inner).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.folder / inner, place / inner)
        return str((place / self.name).relative_to(job))


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
        self._mode = "RAY_AUTH_MODE=token " if use_token() else ""
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

    def submit(self, words: Sequence[str | Given]) -> str:
        """Submit ``python -m unlabeled WORDS`` with this code and the files that words name; return the job's id."""
        variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS), VARIABLE: commit()}
        if store := os.environ.get("MLFLOW_TRACKING_URI"):
            variables["MLFLOW_TRACKING_URI"] = without_secrets(store_from_here(store))  # the dashboard shows it
        with tempfile.TemporaryDirectory() as folder:
            pack(Path(folder))
            there = [
                word.pack(Path(folder), number) if isinstance(word, Given) else word
                for number, word in enumerate(words)
            ]
            try:
                job: str = self._client.submit_job(
                    entrypoint=shlex.join(["python", "-m", "unlabeled", *there]),
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
        return f"`{self._mode}ray job logs --follow --address {without_secrets(self.address)} {job}`"

    def how_to_stop(self, job: str) -> str:
        """Return the command that stops a job."""
        return f"`{self._mode}ray job stop --address {without_secrets(self.address)} {job}`"

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
    leave = shutil.ignore_patterns("__pycache__", ".*", *FOLDERS)
    shutil.copytree(package, folder / "unlabeled", ignore=leave)
    for name in FOLDERS:  # they may lie elsewhere, where the package could not link to them
        found = importlib.util.find_spec(f"unlabeled.{name}")
        assert found is not None, "a part of the package"
        place = next(iter(found.submodule_search_locations or ()))
        leave = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(place, folder / "unlabeled" / name, ignore=leave)
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    if sum(sizes.values()) > MAX_BYTES:
        largest = max(sizes, key=lambda path: sizes[path])
        raise UserError(
            f"the code is {sum(sizes.values()) / 2**20:.0f} MiB, and Ray takes {MAX_BYTES / 2**20:.0f} MiB of a job; "
            f"move data out of {package}: {largest.relative_to(folder)} is the largest file"
        )


def store_from_here(uri: str) -> str:
    """Return an MLflow store's address that means there what it means here: a relative path would start elsewhere.

    >>> store_from_here("http://store:5000"), store_from_here("databricks")
    ('http://store:5000', 'databricks')
    """
    scheme, colon, rest = uri.partition(":")
    if scheme == "sqlite" and rest.startswith("///") and not rest.startswith("////"):
        return f"sqlite:///{Path(rest[3:]).absolute()}"
    if scheme == "file" and not rest.startswith("/"):
        return Path(rest).absolute().as_uri()
    if not colon and (os.sep in uri or uri.startswith(".") or Path(uri).exists()):
        return str(Path(uri).expanduser().absolute())
    return uri


def _check_answers(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise UserError(
            f"{_named_by(address)} takes the address of a cluster's dashboard here, such as http://head:8265, "
            f"got {address!r}; give that one with --address"
        )
    try:
        socket.create_connection((parts.hostname, parts.port or _PORTS[parts.scheme]), _CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"no Ray job server answers at {address}, which {_named_by(address)} names ({reason}); give the address "
            "of the cluster's dashboard with --address; its port must be open, and its head have ray[default]"
        ) from None


def _named_by(address: str) -> str:
    variables = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
    return next((name for name in variables if os.environ.get(name, "").rstrip("/") == address), "--address")


def _first_line(error: Exception) -> str:
    return next((line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__)
