"""MLflow's own UI on a store with a finished study, in a real browser: the runs, their comparison, their curves.

The names that people see there are ours: of runs, parameters and metrics, and the columns that a study's page opens
with. ``UNLABELED_SCREENSHOTS=FOLDER`` keeps what the browser saw.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import HANG_SECONDS, wait_until

from unlabeled.dashboards.publish import publish
from unlabeled.platform.cli.sweeping import sweep
from unlabeled.platform.config import RunConfig
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.drive.sweep import run_here
from unlabeled.platform.study import Claim, Study

ROWS = {"none": {"method.head": ()}, "linear": {"method.head": (16,)}}
MEASURE = "test/linear/top1"

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium", "playwright")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small_run: RunConfig, empty_store: Path) -> Path:
    """A home with a finished, reported study of two rows and two seeds."""
    home = tmp_path_factory.mktemp("ui")
    shutil.copy(empty_store, home)
    claim = Claim(statement="A linear head beats none.", source="a paper", higher="linear", lower="none")
    study = Study(
        name="heads",
        question="Which head?",
        source="a paper",
        expected="a trend",
        cost="little",
        profiles={"laptop": small_run},
        rows=ROWS,
        seeds=(0, 1),
        claims=(claim,),
    )
    outcome = sweep(study, study.base("laptop"), "laptop", home, Resources(), run_here)
    assert (outcome.finished, outcome.failed) == (4, 0)
    publish("heads", home)
    return home


@pytest.fixture(scope="module")
def address(finished: Path) -> Iterator[str]:
    """The address that ``unlabeled ui`` prints for the study."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "unlabeled", "ui", "--home", str(finished), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        title, link = server.stdout.readline().split()
        assert title == "heads"
        try:
            _wait_for(f"http://127.0.0.1:{port}/health")
            yield link
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(HANG_SECONDS)


def _wait_for(address: str) -> None:
    def answers() -> bool:
        try:
            urllib.request.urlopen(address, timeout=10).close()
        except OSError:
            return False
        return True

    wait_until(answers, lambda: f"{address} does not answer")


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1600, "height": 1000})
    opened.set_default_timeout(1000 * HANG_SECONDS)
    yield opened
    opened.close()


def keep(page: Any, name: str) -> None:
    if folder := os.environ.get("UNLABELED_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder, f"{name}.png")))


def test_the_list_of_experiments_has_studies_and_no_ledgers(page: Any, address: str) -> None:
    page.goto(f"{address.partition('#')[0]}#/experiments")
    page.get_by_role("link", name="heads", exact=True).wait_for()
    keep(page, "experiments")
    text = page.inner_text("body")
    assert "Which head?" in text
    assert "**" not in text
    assert "unlabeled-ledgers" not in text
    page.goto(address)
    page.get_by_role("link", name="linear seed 1", exact=True).wait_for()
    page.get_by_text("Which head?", exact=True).first.wait_for()


def test_a_studys_page_shows_its_question_and_its_runs_by_row(page: Any, address: str) -> None:
    assert "workflowType=machine_learning" in address
    page.goto(address)
    page.get_by_role("link", name="linear seed 1", exact=True).wait_for()
    for header in ("test/linear/top1", "untrained/linear/top1", "method.head", "seed"):
        page.get_by_text(header, exact=True).first.wait_for(state="attached")
    keep(page, "runs")
    text = page.inner_text("body")
    assert "Which head?" in text
    assert "Group by: unlabeled.row" in text
    order = [line for line in text.splitlines() if line.startswith("Group: ") or re.search(r" seed \d$", line)]
    of_rows = {line: sorted(order[place + 1 : place + 3]) for place, line in enumerate(order) if "Group" in line}
    assert {row: of_rows[f"Group: {row}"] for row in ROWS} == {row: [f"{row} seed 0", f"{row} seed 1"] for row in ROWS}
    assert re.search(r"0\.\d+", text)


def test_a_run_says_its_row_its_answer_and_where_the_report_is(page: Any, address: str) -> None:
    page.goto(address)
    page.get_by_role("link", name="linear seed 1", exact=True).click()
    page.get_by_role("link", name="all of them by row", exact=True).wait_for()
    keep(page, "run")
    text = page.inner_text("body")
    assert "Row linear, seed 1." in text
    assert re.search(r"test/linear/top1: \d\d\.\d %, of the same encoder untrained \d\d\.\d %", text)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="all of them by row", exact=True).click()
    opened.value.get_by_text("Group by: unlabeled.row").first.wait_for()


def test_two_runs_compared_differ_in_what_their_rows_set(page: Any, address: str) -> None:
    page.goto(address)
    for run in ("none seed 0", "linear seed 0"):
        link = page.get_by_role("link", name=run, exact=True)
        link.wait_for()
        index = link.evaluate("node => node.closest('[row-index]').getAttribute('row-index')")
        page.locator(f"[row-index='{index}'] input[type=checkbox]").first.click(force=True)
    page.get_by_test_id("runs-compare-button").click()
    plot = page.locator(".js-plotly-plot .parcoords").first
    plot.wait_for()
    page.locator(".parcoords .axis-title").first.wait_for()
    keep(page, "compared")
    words = page.locator(".parcoords text").all_text_contents()
    assert page.locator(".parcoords .axis-title").all_text_contents() == ["method.head", "train/loss"], (
        "what differs between the two runs, and nothing else, is an axis beside the metric"
    )
    assert {"none", "16"} <= set(words)


def test_curves_are_drawn_by_epoch_with_a_row_each(page: Any, address: str) -> None:
    page.goto(f"{address}&compareRunsMode=CHART")
    page.get_by_placeholder("Search metric charts").fill("train/loss")
    page.get_by_text("train/loss", exact=True).first.wait_for()
    chart = page.locator(".js-plotly-plot").first
    chart.wait_for()
    page.locator(".js-plotly-plot .scatterlayer .trace").nth(1).wait_for(state="attached")
    page.get_by_text("linear (train/loss)").first.wait_for()
    keep(page, "curves")
    assert "none (train/loss)" in page.inner_text("body"), "a row is one line, the mean of its seeds"
    assert "seed 0 (train/loss)" not in page.inner_text("body")
    ticks = [float(text) for text in chart.locator(".xtick text").all_text_contents()]
    assert ticks, "the axis is named"
    assert 1 <= min(ticks) <= max(ticks) <= 2, "steps are epochs"


def test_the_report_opens_among_the_artifacts(page: Any, address: str) -> None:
    page.goto(address)
    page.get_by_role("link", name="report", exact=True).click()
    page.get_by_text("A linear head beats none.").first.wait_for()
    keep(page, "report")
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("Select a file to preview").wait_for()
    page.get_by_text("report", exact=True).last.click()
    page.get_by_text("index.html").first.click()
    frame = page.frame_locator("iframe").first
    frame.get_by_role("heading", name="Which head?").wait_for()
    keep(page, "artifact")
