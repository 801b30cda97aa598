"""The commit is asked of a program that may be missing, and of a repository that may not answer: then it is unknown."""

import subprocess
from pathlib import Path

import pytest

from unlabeled.platform.track import commit as module
from unlabeled.platform.track.commit import VARIABLE, commit

GITS = {
    "refuses another user's checkout": "echo 'fatal: detected dubious ownership' >&2; exit 128",
    "is killed half way": "echo 0123abcd; kill -9 $$",
    "answers what is no text": r"printf '\377\376'; exit 1",
    "waits for ever": "exec sleep 60",
    "waits for a program that it started": "sleep 60; true",
}


def git(folder: Path, *words: str) -> str:
    by = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
    return subprocess.run(["git", *by, *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, in which the code lies."""
    monkeypatch.delenv(VARIABLE, raising=False)
    checkout = tmp_path / "checkout"
    (checkout / "platform" / "track").mkdir(parents=True)
    code = checkout / "platform" / "track" / "commit.py"
    code.write_text("'''code'''\n")
    git(checkout, "init", "--quiet")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message", "code")
    monkeypatch.setattr(module, "_HERE", code)
    return checkout


def test_it_is_that_of_the_checkout_and_tells_changes(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "--short=12", "HEAD")
    assert commit() == head
    (checkout / "platform" / "track" / "commit.py").write_text("'''changed'''\n")
    assert commit() == f"{head}-dirty"


def test_it_is_never_that_of_another_repository(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / ".venv" / "commit.py"  # in somebody's project, not of it
    installed.parent.mkdir()
    installed.write_text("")
    monkeypatch.setattr(module, "_HERE", installed)
    assert commit() == ""
    monkeypatch.setattr(module, "_HERE", tmp_path / "commit.py")
    monkeypatch.setenv("GIT_DIR", str(checkout / ".git"))  # as git sets it for its hooks
    assert commit() == ""


def test_a_machine_without_git_does_not_know_it(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert commit() == ""
    monkeypatch.setenv(VARIABLE, "as told")
    assert commit() == "as told"


@pytest.mark.parametrize("does", GITS.values(), ids=GITS)
def test_a_git_that_does_not_answer_does_not_know_it(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(module, "_SECONDS", 1.0)
    assert commit() == ""


def test_a_broken_repository_does_not_know_it(checkout: Path) -> None:
    (checkout / ".git" / "HEAD").write_text("ref: refs/heads/gone\n")
    assert commit() == ""
