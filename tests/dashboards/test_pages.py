"""Reports in a real browser: nothing is hidden or cut at a phone's and a desk's width, and the answer comes first.

``UNLABELED_SCREENSHOTS=FOLDER`` keeps every page at both widths, light and dark.
"""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from unlabeled.dashboards.reading import read_report
from unlabeled.dashboards.website import write_site

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium", "playwright")]

OUTSIDE = """() => [...document.querySelectorAll("header *, main *, footer *")]
  .filter(one => !one.closest(".wide, .drawing, .unseen, svg, .skip"))
  .filter(one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(one => one.outerHTML.slice(0, 90))"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, record: Any, runs: Any, epochs: Any) -> Path:
    """A site of one study."""
    frame = runs()
    curves = epochs(frame).query("metric in ['train/loss', 'health/rankme']")
    out = tmp_path_factory.mktemp("site")
    write_site(out, {"projection-head": read_report(record(), frame, pd.DataFrame(curves))})
    return out


def test_nothing_is_outside_a_page_at_either_width_and_no_policy_is_broken(site: Path, browser: Any) -> None:
    for path in sorted(site.rglob("*.html")):
        for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            said: list[str] = []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.goto(path.as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert wide[0] <= wide[1], (path, width)
            assert page.evaluate(OUTSIDE) == [], (path, width)
            assert said == [], path
            if folder := os.environ.get("UNLABELED_SCREENSHOTS"):
                name = "-".join(path.relative_to(site).with_suffix("").parts)
                page.screenshot(path=str(Path(folder, f"{name}-{width}-{scheme}.png")), full_page=True)
            page.close()


def test_question_verdicts_differences_and_seeds_are_above_the_fold(site: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((site / "projection-head" / "index.html").as_uri())
    for part in ("h1", ".answers li:last-child .verdict", ".answers li:last-child svg", ".answers li:last-child p"):
        assert page.locator(part).last.evaluate("one => one.getBoundingClientRect().bottom") < 800, part
    assert page.locator(".answers li").count() == 2
    page.close()


def test_a_row_is_hidden_in_all_curves_and_a_figure_opens_large(site: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800}, java_script_enabled=False)
    page.goto((site / "projection-head" / "index.html").as_uri())
    page.get_by_text("Over epochs: 2 metrics").click()
    curves = page.locator(".picked .row-1")
    assert curves.count() == 2 * 2, "a line and a band in each"
    assert "linear: epoch 1" in page.locator(".picked .row-1 > title").last.text_content()
    assert all(curves.nth(at).is_visible() for at in range(4))
    page.get_by_label("linear", exact=True).uncheck()
    assert not any(curves.nth(at).is_visible() for at in range(4))
    assert page.locator(".picked .row-2").first.is_visible()
    figure = page.locator("figure.opens").first
    before = figure.bounding_box()["width"]
    figure.locator(".larger").click()
    assert figure.bounding_box()["width"] == 1280 > before
    figure.locator(".close").click()
    assert figure.bounding_box()["width"] == before
    page.close()
