"""Which Ray cluster is meant, whether it answers, and with which token: Ray itself would try for two minutes."""

import os
import secrets
import socket
from pathlib import Path

from unlabeled.platform.addresses import without_secrets
from unlabeled.platform.drive import handshake
from unlabeled.platform.drive.home import is_in_job
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.errors import UserError

_CONNECT_SECONDS = 5.0


def check_address(resources: Resources) -> None:
    """See whether a cluster answers that was named, before anything is prepared for it.

    Raises:
        UserError: none answers, or the address is not that of a cluster.
    """
    check_answers(*asked(resources))


def is_elsewhere(resources: Resources) -> bool:
    """Tell whether runs go to a cluster that somebody started, which may be of other machines than this one."""
    return resources.address not in (None, "local") or is_in_job() or "RAY_ADDRESS" in os.environ


def asked(resources: Resources) -> tuple[str | None, str]:
    """Return the address to give to Ray, None for that of this job, and what named it."""
    if resources.address:
        return resources.address, "--address"
    if named := os.environ.get("RAY_ADDRESS", "").strip():
        return named, "RAY_ADDRESS"
    return (None, "the job") if is_in_job() else ("local", "")


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


def make_token() -> None:
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


def check_answers(address: str | None, named_by: str) -> None:
    """Try a cluster's address, because Ray itself tries for two minutes."""
    scheme, _, rest = (address or "").rpartition("://")
    if scheme in ("http", "https"):
        raise UserError(
            f"{named_by} is {without_secrets(address or '')}, the address of a dashboard, which takes jobs "
            "(`unlabeled submit`); "
            f"a cluster is joined at HOST:PORT as `ray start --head` printed it: {remedy(named_by)}"
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
        raise UserError(f"no Ray cluster answers at {address}, which {named_by} names ({reason}); {remedy(named_by)}")


def remedy(named_by: str) -> str:
    """Say what to do about an address, by what named it: ``--address`` or ``RAY_ADDRESS``."""
    if named_by == "--address":
        return (
            "give the address that `ray start --head` printed with --address, or leave it out for a cluster of its own"
        )
    return (
        "unset RAY_ADDRESS for a cluster of its own, or give the address that `ray start --head` printed with --address"
    )


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


def _own_token() -> Path:
    return Path(os.path.expanduser("~"), ".ray", "auth_token")  # Path.home() raises where there is no home
