"""Addresses for people: what opens them is left out, whatever the address and whatever stands around it."""

import itertools
import os
from urllib.parse import quote

import pytest

from unlabeled.platform.addresses import scrub, tracking_at, tracking_uri, without_secrets
from unlabeled.platform.errors import UserError

PASSWORDS = ["s3cret-w0rd", "p@ss w/o?r#d%", "a:b&c=d", "'quoted\"", "ü-wörd-日本"]
SCHEMES = ["http", "https", "postgresql", "postgresql+psycopg2", "mysql+pymysql", "ray", "s3", "mssql+pyodbc"]
AROUND = ["{}", "see '{}'; else", "HTTPError: 401 for url: {}/api/2.0/x", '<a href="{}">page</a>', "{}\n{}", "[{}, {}]"]


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without an address, and take away afterwards what :func:`tracking_uri` sets."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize("around", AROUND)
def test_no_password_stays_in_a_text(around: str) -> None:
    for scheme, password, user in itertools.product(SCHEMES, PASSWORDS, ["anna", "anna%40example.org", ""]):
        address = f"{scheme}://{user}:{quote(password, safe='')}@host:5000/base"
        said = scrub(around.replace("{}", address))
        assert quote(password, safe="") not in said
        assert said == around.replace("{}", f"{scheme}://host:5000/base")


@pytest.mark.parametrize("name", ["token", "api_key", "password", "X-Amz-Signature", "access_token", "sig", "PWD"])
def test_no_secret_of_a_query_stays(name: str) -> None:
    for before, after in itertools.product(["", "page=1&"], ["", "&page=2", "#top"]):
        said = scrub(f"no answer from https://host/base?{before}{name}=s3cret-w0rd{after}")
        assert said == f"no answer from https://host/base?{before}{name}=***{after}"


def test_a_password_as_it_is_with_a_slash_is_left_out() -> None:
    assert without_secrets("postgresql://anna:s3cr/et@host/db") == "postgresql://host/db"


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:5000",
        "https://host/base?page=1#/experiments/3/runs/4f",
        "http://host:5000/mail/a@b",
        "sqlite:////home/anna@work/runs/mlflow.db",
        "file:///shared/a:b@c/d",
        "ray://head:10001",
        "head:6379",
        "local",
        "see README.md; ask anna@example.org: she knows",
    ],
)
def test_what_is_no_secret_stays(address: str) -> None:
    assert without_secrets(address) == address
    assert scrub(address) == address


@pytest.mark.parametrize(
    "name", ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "RAY_AUTH_TOKEN", "MLFLOW_TRACKING_URI"]
)
def test_a_secret_of_the_environment_is_hidden_wherever_it_stands(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = "https://anna:s3cret%2Dw0rd@host" if name.endswith("URI") else "s3cret-w0rd"
    monkeypatch.setenv(name, given)
    assert scrub("the server said: s3cret-w0rd is wrong") == "the server said: *** is wrong"
    assert "s3cret" not in str(UserError(f"MLflow said {given}"))


def test_user_and_password_go_to_where_mlflow_looks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://anna:p%40ss@host/base")
    for _ in range(2):
        assert tracking_uri() == "https://host/base"
        found = [os.environ[f"MLFLOW_TRACKING_{name}"] for name in ("URI", "USERNAME", "PASSWORD")]
        assert found == ["https://host/base", "anna", "p@ss"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://another")
    assert tracking_uri() == "https://another"
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ, "another server must not get it"


def test_a_password_that_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "mine")
    for address in ("https://one", "https://other"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert tracking_uri() == address
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "mine"


def test_what_opens_one_server_is_not_given_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")

    def given() -> list[str | None]:
        return [os.environ.get(name) or None for name in names]

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://anna:s3cret-w0rd@one:5000")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken-of-one")
    with tracking_at("https://other:5000"):
        assert tracking_uri() == "https://other:5000"
        assert given() == [None, None, None]
    with tracking_at("https://bob:an0ther@other:5000"):
        assert tracking_uri() == "https://other:5000"
        assert given() == ["bob", "an0ther", None]
    with tracking_at("https://one:5000/"):
        assert given() == ["anna", "s3cret-w0rd", "t0ken-of-one"]
    assert tracking_uri() == "https://one:5000"
    assert given() == ["anna", "s3cret-w0rd", "t0ken-of-one"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://third:5000")
    assert tracking_uri() == "https://third:5000"
    assert given() == [None, None, "t0ken-of-one"], "the first server's user and password are its own, as before"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    with tracking_at("https://other:5000"):
        assert given() == [None, None, "t0ken-of-one"], "where no server is named, they are for whoever is asked"
