"""Addresses as people may see them: of a tracking server, a database, a cluster, without what opens them.

Hosted services hand out addresses with user and password in them. Libraries put the address into their errors, and from
there it would go into logs, journals, pages and tags.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

HIDDEN = "***"
_ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "RAY_AUTH_TOKEN")
_SHORTEST = 6  # characters of a secret that is looked for by itself; a shorter one is in many words

# Up to the last @ before the path; or of a password with a bare slash up to the first @, unless a port stands there.
_USER = re.compile(r"(?<=://)(?:[^\s/?#]*@|[^\s/@:]*:(?!\d{1,5}[/?#])[^\s@]*@)")
_QUERY = re.compile(
    r"(?P<name>[?&;][^\s=&;#?]*(?:token|key|secret|pass|pwd|signature|sig|credential|auth)[^\s=&;#?]*=)[^\s&;#'\"]*",
    re.IGNORECASE,
)
_taken: tuple[str, str, str] | None = None  # the address whose user and password stand in the environment, and those


def without_secrets(address: str) -> str:
    """Return an address without its user and password, and with the secrets of its query hidden.

    >>> without_secrets("https://anna:s3cret@host:5000/mlflow"), without_secrets("http://host/?token=s3cret&page=1")
    ('https://host:5000/mlflow', 'http://host/?token=***&page=1')
    >>> without_secrets("postgresql+psycopg2://anna:s3/cret@host/db"), without_secrets("node7:6379")
    ('postgresql+psycopg2://host/db', 'node7:6379')
    """
    return _QUERY.sub(rf"\g<name>{HIDDEN}", _USER.sub("", address))


def scrub(text: str) -> str:
    """Take the secrets of all addresses out of a text, and those that the environment gives, wherever they stand.

    >>> scrub("no answer from 'http://anna:s3cret@host/api', nor postgresql://anna@host/db?password=s3cret")
    "no answer from 'http://host/api', nor postgresql://host/db?password=***"
    """
    for secret in sorted(_known(), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return without_secrets(text)


def tracking_uri() -> str | None:
    """Return the address in ``MLFLOW_TRACKING_URI``, a server's without user and password; None where there is none.

    These go to where MLflow looks for them too, ``MLFLOW_TRACKING_USERNAME`` and ``MLFLOW_TRACKING_PASSWORD``, so that
    neither it nor any process that is started from here has them in an address. Another server does not get them.
    """
    global _taken
    address = os.environ.get("MLFLOW_TRACKING_URI")
    if _taken is not None and address != _taken[0]:
        names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
        if tuple(os.environ.get(name) for name in names) == _taken[1:]:
            for name in names:
                del os.environ[name]
        _taken = None
    user, password = _user(address) if address and address.startswith(("http:", "https:")) else ("", "")
    if not address or not user or not password:  # MLflow takes both or none from there
        return address or None
    address = _USER.sub("", address)
    os.environ |= {
        "MLFLOW_TRACKING_URI": address,
        "MLFLOW_TRACKING_USERNAME": user,
        "MLFLOW_TRACKING_PASSWORD": password,
    }
    _taken = address, user, password
    return address


@contextmanager
def tracking_at(address: str) -> Iterator[None]:
    """Let ``MLFLOW_TRACKING_URI`` be another server's for a while, whatever it is.

    User, password and token in the environment are for the server that it names, and another one does not get them;
    where it names none, they are for whoever is asked.
    """
    global _taken
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    named, taken = tracking_uri(), _taken
    before = {name: os.environ.pop(name, None) for name in names}
    if named is None or without_secrets(named).rstrip("/") == without_secrets(address).rstrip("/"):
        os.environ |= {name: value for name, value in before.items() if value is not None}
    os.environ["MLFLOW_TRACKING_URI"] = address
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _taken = taken


def _user(address: str) -> tuple[str, str]:
    """Return user and password as an address means them, and empty texts where it has none."""
    matched = _USER.search(address)
    user, _, password = matched[0].removesuffix("@").partition(":") if matched else ("", "", "")
    return unquote(user), unquote(password)


def _known() -> set[str]:
    """Return the secrets that the environment gives, as written and as meant."""
    found = {os.environ.get(name, "") for name in _SECRETS}
    for address in filter(None, map(os.environ.get, _ADDRESSES)):
        matched = _USER.search(address)
        found |= {_user(address)[1], matched[0].removesuffix("@").partition(":")[2] if matched else ""}
        found |= {part[0].partition("=")[2] for part in _QUERY.finditer(address)}
    return {secret for secret in found if len(secret) >= _SHORTEST}
