"""The Ray cluster that runs go to: join it, see what fits into it, and leave when told to."""

import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unlabeled.platform.addresses import without_secrets
from unlabeled.platform.drive import handshake
from unlabeled.platform.drive.cores import usable_cores
from unlabeled.platform.drive.resources import Resources, Totals
from unlabeled.platform.errors import UserError
from unlabeled.platform.home import is_in_job

_CONNECT_SECONDS = 5.0
_STARTS = 3
_SOCKET_BYTES = 103 if sys.platform == "darwin" else 107  # most of a socket's path
_BELOW_BYTES = len("/ray/session_2026-11-25_01-28-48_319123_4194304/sockets/plasma_store") + 8  # of it, Ray's own
_LOOK_SECONDS = 1.0  # how old the list of nodes may be


@contextmanager
def cluster(resources: Resources) -> Iterator[Resources]:
    """Start or join the Ray cluster, and leave it at the end; gives the resources with what it decides filled in.

    Raises:
        UserError: no cluster answers at the address, or one run needs more than the whole cluster has.
    """
    try:
        yield _join(resources)
    finally:
        import ray  # not before: it reads the variables once that joining sets

        ray.shutdown()


def check_address(resources: Resources) -> None:
    """See whether a cluster answers that was named, before anything is prepared for it.

    Raises:
        UserError: none answers, or the address is not that of a cluster.
    """
    _check_answers(*_address(resources))


def is_elsewhere(resources: Resources) -> bool:
    """Tell whether runs go to a cluster that somebody started, which may be of other machines than this one."""
    return resources.address not in (None, "local") or is_in_job() or "RAY_ADDRESS" in os.environ


def take_sigterm_as_ctrl_c() -> None:
    """Let SIGTERM, which `ray job stop` and cluster managers send, end this process as Ctrl-C does."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: Any) -> None:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's background job: nothing but a kill would end it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


def nodes() -> list[Totals]:
    """Return what each node of the cluster has, by Ray's names: ``CPU``, ``GPU`` and others."""
    import ray

    listed: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in listed if node["Alive"]]


def growing(searcher: Any, resources: Resources) -> Any:
    """Make a Tune searcher ask only while the cluster, as it then is, has room for another run on several workers.

    Tune can't see what workers take. Nodes may come and go: there is room for as many runs as fit at the moment.
    """
    from ray.tune.search import Searcher

    class Growing(Searcher):
        def __init__(self, searcher: Any, resources: Resources) -> None:
            super().__init__()
            self._searcher, self._resources = searcher, resources
            self._going: set[str] = set()
            self._places, self._looked_at = 0, -_LOOK_SECONDS

        def suggest(self, trial_id: str) -> Any:
            if len(self._going) >= self._room():
                return None
            point = self._searcher.suggest(trial_id)
            if point is not None and point != Searcher.FINISHED:
                self._going.add(trial_id)
            return point

        def on_trial_result(self, trial_id: str, result: Any) -> None:
            self._searcher.on_trial_result(trial_id, result)

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            self._going.discard(trial_id)
            self._searcher.on_trial_complete(trial_id, result, error)

        def save(self, checkpoint_path: str) -> None:
            pass  # a sweep is restored from MLflow

        def restore(self, checkpoint_path: str) -> None:
            pass

        def __getstate__(self) -> dict[str, Any]:
            return {}

        def _room(self) -> int:
            if time.monotonic() - self._looked_at > _LOOK_SECONDS:
                self._places, self._looked_at = self._resources.places(nodes()), time.monotonic()
            return max(1, self._places)  # a run that is begun while nodes are lost waits for them

    return Growing(searcher, resources)


def _join(resources: Resources) -> Resources:
    address, named_by = _address(resources)
    own = address == "local"
    if own:
        settings: dict[str, Any] = {"include_dashboard": False, "num_cpus": usable_cores(), **_short_place()}
        _make_token()
    else:
        settings = {}
        _check_answers(address, named_by)

    import ray

    try:
        _init(address=address, logging_level=logging.ERROR, log_to_driver=False, **settings)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError, SystemExit) as error:  # it gives up by leaving
        raise UserError(_not_started(error) if own else _refused(address, named_by, error)) from None
    take_sigterm_as_ctrl_c()  # Ray has its own way to end
    there = nodes()
    resources = with_gpus(resources, there)
    check_room(resources, there)
    return resources


def _init(**settings: Any) -> None:
    """Call Ray's init, again when its own half a minute for a cluster's start was too short for a busy machine."""
    import ray

    for left in reversed(range(_STARTS)):
        try:
            ray.init(**settings)
            return
        except Exception as error:
            if type(error) is not Exception or "timed out during startup" not in str(error):
                raise
            ray.shutdown()
            if not left:
                raise UserError(
                    f"Ray did not start within {_STARTS} times half a minute; the machine is too busy: try again later"
                ) from None


def _address(resources: Resources) -> tuple[str | None, str]:
    """Return the address to give to Ray, None for that of this job, and what named it."""
    if resources.address:
        return resources.address, "--address"
    if named := os.environ.get("RAY_ADDRESS", "").strip():
        return named, "RAY_ADDRESS"
    return (None, "the job") if is_in_job() else ("local", "")


def with_gpus(resources: Resources, there: Sequence[Totals]) -> Resources:
    """Fill in the GPUs that each run or worker takes, where that was left to the cluster: one, or none if it has none.

    Raises:
        UserError: there are GPUs, and fewer than workers.
    """
    if resources.gpus_per_run is not None:
        return resources
    gpus = sum(node.get("GPU", 0.0) for node in there)
    if 0 < gpus < resources.workers:
        raise UserError(
            f"each of {resources.workers} workers takes a GPU, and the cluster has {gpus:g}; "
            f"ask for at most {max(1, int(gpus))} workers, or for none of the GPUs with --gpus-per-run 0"
        )
    return resources.with_field("gpus_per_run", 1.0 if gpus >= 1 else 0.0)


def check_room(resources: Resources, there: Sequence[Totals]) -> None:
    """Refuse a run that the nodes have no room for, now: Ray would wait for a node that may never come.

    Raises:
        UserError: a run needs more than the nodes have together, or a worker more than any node has.
    """
    for what, each in resources.each.items():
        wanted, has = each * resources.workers, sum(node.get(what, 0.0) for node in there)
        if wanted > has:
            raise UserError(f"a run needs {wanted:g} {what}s, and the cluster has {has:g}; ask for fewer")
    if not resources.places(there):
        needs = " and ".join(f"{each:g} {what}s" for what, each in resources.each.items())
        have = "; ".join(
            " and ".join(f"{node.get(what, 0.0):g} {what}s" for what in resources.each) for node in there[:8]
        )
        who = f"each of {resources.workers} workers" if resources.workers > 1 else "a run"
        raise UserError(f"{who} needs {needs} on one node, and the nodes have {have}; ask for fewer")


def use_token() -> bool:
    """Let Ray send the user's token, if there is one: unless RAY_AUTH_MODE says so, it sends none.

    Before Ray is imported, which reads the variable once.

    Returns:
        Whether RAY_AUTH_MODE was set for that, so that Ray's own commands want it too.

    Raises:
        UserError: there is no file where RAY_AUTH_TOKEN_PATH says that one is.
    """
    if not _token() or "RAY_AUTH_MODE" in os.environ:
        return False
    os.environ["RAY_AUTH_MODE"] = "token"
    return True


def _token() -> str:
    """Return the token that the user has, from where Ray looks for it; empty where there is none."""
    if given := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return given
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    place = Path(named).expanduser() if named else _own_token()
    try:
        return place.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        if named:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise UserError(
                f"RAY_AUTH_TOKEN_PATH names {named}, which can't be read ({reason}); save the cluster's token there"
            ) from None
        return ""


def _make_token() -> None:
    """Make a token for a cluster of this process's own where Ray, which would keep one, has no place to keep it."""
    given = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    place = _own_token()
    if given or place.is_file():
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(place.parent, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _own_token() -> Path:
    return Path(os.path.expanduser("~"), ".ray", "auth_token")  # Path.home() raises where there is no home


def _short_place() -> dict[str, str]:
    """Choose where a cluster of this process's own has its folder, if not where Ray would: a socket's path is short.

    Raises:
        UserError: no place is short enough and can be written to, or the one that RAY_TMPDIR asks for.
    """
    asked, given = os.environ.get("RAY_TMPDIR"), os.environ.get("TMPDIR")
    most = _SOCKET_BYTES - _BELOW_BYTES
    if asked or not given or sys.platform != "linux":  # as Ray looks for it
        first = asked or "/tmp"
    else:
        first = given
    for place in dict.fromkeys((first, *(() if asked else ("/tmp", "/var/tmp", "/dev/shm")))):
        if len(os.fsencode(os.path.abspath(place))) > most:
            continue
        for folder in (Path(place, "ray"), Path(place, f"ray-{os.getuid()}")):  # the first may be another user's
            if _is_writable(folder):
                return {} if folder == Path(first, "ray") else {"_temp_dir": str(folder)}
    named = f"RAY_TMPDIR is {asked}" if asked else f"TMPDIR is {given}" if given else "/tmp can't be"
    raise UserError(
        f"Ray has no place for its sockets: {named}, and it needs a folder that can be written, with a path of at most "
        f"{most} bytes; name one with RAY_TMPDIR"
    )


def _is_writable(folder: Path) -> bool:
    while not folder.exists():
        if folder == folder.parent:
            return False
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _check_answers(address: str | None, named_by: str) -> None:
    """Try a cluster's address, because Ray itself tries for two minutes."""
    scheme, _, rest = (address or "").rpartition("://")
    if scheme in ("http", "https"):
        raise UserError(
            f"{named_by} is {without_secrets(address or '')}, the address of a dashboard, which takes jobs "
            "(`unlabeled submit`); "
            f"a cluster is joined at HOST:PORT as `ray start --head` printed it: {_remedy(named_by)}"
        )
    host, colon, port = rest.rpartition(":")
    if not colon or not port.isdigit():
        return
    reason = ""
    try:
        if os.environ.get("RAY_USE_TLS", "").strip("0") or scheme:  # not in our words
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
        else:
            reason = _ask(host.strip("[]"), int(port), address or "")
    except TimeoutError:
        reason = f"nothing within {_CONNECT_SECONDS:g} seconds"
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    if reason:
        raise UserError(f"no Ray cluster answers at {address}, which {named_by} names ({reason}); {_remedy(named_by)}")


def _ask(host: str, port: int, address: str) -> str:
    """Return why what answers is no cluster, or nothing; let Ray send the user's token to one that wants it.

    To no other: whoever has started a cluster has a token, and a driver that goes by tokens refuses workers without.
    """
    answer = handshake.status(host, port, _CONNECT_SECONDS)
    if answer == handshake.UNAUTHENTICATED:
        mode = os.environ.get("RAY_AUTH_MODE", "token").lower()
        if mode in ("token", "disabled"):
            token = _token() if mode == "token" else ""
            again = handshake.status(host, port, _CONNECT_SECONDS, token) if token else answer
            if again == handshake.UNAUTHENTICATED:
                has = "none is given here" if mode == "token" else "RAY_AUTH_MODE is disabled here"
                has = "what is given here is another" if token else has
                raise UserError(
                    f"the cluster at {address} wants its token ({has}); give it in RAY_AUTH_TOKEN, the "
                    "file that RAY_AUTH_TOKEN_PATH names, or ~/.ray/auth_token; `ray get-auth-token` there says it"
                )
            use_token()
    elif answer is None or answer == handshake.UNIMPLEMENTED:
        return "what listens there is no Ray cluster"
    return ""


def _remedy(named_by: str) -> str:
    if named_by == "--address":
        return (
            "give the address that `ray start --head` printed with --address, or leave it out for a cluster of its own"
        )
    return (
        "unset RAY_ADDRESS for a cluster of its own, or give the address that `ray start --head` printed with --address"
    )


def _refused(address: str | None, named_by: str, error: BaseException) -> str:
    return (
        f"the Ray cluster at {address or os.environ.get('RAY_ADDRESS')} can't be joined: {_reason(error)}; "
        "see that it runs this version of Ray; "
        f"else {_remedy(named_by)}"
    )


def _not_started(error: BaseException) -> str:
    return f"Ray can't be started here: {_reason(error)}"


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "no answer"
    return (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0]
