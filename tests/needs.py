"""What tests need of a machine beyond the project's packages: ``@pytest.mark.needs("chromium")``.

At home a test without what it needs is skipped, and the last lines say what would run it. In continuous integration,
which sets ``CI``, a test that is skipped for want of something that can be installed has failed, whoever skipped it.
"""

import importlib.util
import os
import platform
import shutil
import sys
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass(frozen=True)
class Need:
    """Something that a machine may lack.

    Attributes:
        what: it is.
        is_here: whether this machine has it.
        remedy: what to do for it; empty where nothing can be done, and where CI may skip too.
    """

    what: str
    is_here: bool
    remedy: str = ""

    @property
    def reason(self) -> str:
        """Why a test is skipped, and what would run it."""
        return f"needs {self.what}" + (f": {self.remedy}" if self.remedy else ", and is for nothing else")


def postgresql() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None where they or the Python driver are missing."""
    if importlib.util.find_spec("psycopg2") is None:
        return None
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve()] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


NEEDS = {
    "chromium": Need("a Chromium", CHROMIUM is not None, "apt-get install chromium, or install Chrome"),
    "playwright": Need("playwright", importlib.util.find_spec("playwright") is not None, "pip install -e '.[dev]'"),
    "postgresql": Need(
        "PostgreSQL and psycopg2", postgresql() is not None, "apt-get install postgresql; pip install -e '.[dev]'"
    ),
    "stamps": Need("the Debian package tuxpaint-stamps-default", Path("/usr/share/tuxpaint/stamps").is_dir()),
    # Or what is tried in its place, which tests/gpu/ say of themselves.
    "gpu": Need("a GPU that torch can use", "UNLABELED_TEST_DEVICE" in os.environ or torch.cuda.is_available()),
    "c++": Need("a compiler of C++", shutil.which("g++") is not None, "apt-get install g++"),
    "linux": Need("Linux, where a process's peak of memory can be reset", sys.platform == "linux"),
    "shared memory": Need(
        "an x86-64 processor and /dev/shm", platform.machine() in ("x86_64", "AMD64") and Path("/dev/shm").is_dir()
    ),
}


def in_ci() -> bool:
    """Tell whether everything that can be installed has to be here."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return why a test was skipped."""
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return said.removeprefix("Skipped: ")


def refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Let a skipped test fail in CI, unless nothing could be done for it."""
    is_expected = hasattr(report, "wasxfail")
    if report.outcome == "skipped" and not is_expected and in_ci():
        reason = reason_of(report)
        if reason not in {need.reason for need in NEEDS.values() if not need.remedy}:
            report.outcome = "failed"
            report.longrepr = f"in CI nothing is skipped that could run: {reason}"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"needs(what): skipped without it, and failed in CI; one of {', '.join(NEEDS)}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            if not NEEDS[name].is_here:
                pytest.skip(NEEDS[name].reason)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = Counter(map(reason_of, terminalreporter.stats.get("skipped", [])))
    for reason, count in sorted(skipped.items()):
        terminalreporter.write_line(f"{count} skipped: {reason}", yellow=True)
