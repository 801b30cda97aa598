"""Take a picture of a report's page, as the README has one of the demo's.

``python -m unlabeled.dashboards.picture PAGE PNG``; takes Chromium, and Playwright, which comes with
``pip install -e '.[dev]'``.
"""

import argparse
import shutil
from pathlib import Path

WIDTH = 1060


def main() -> None:
    """Take the picture that the command asks for."""
    parser = argparse.ArgumentParser(prog="python -m unlabeled.dashboards.picture", description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, help="a report's index.html")
    parser.add_argument("out", type=Path, help="the PNG file")
    given = parser.parse_args()
    take(given.page, given.out)
    print(f"picture: {given.out}")


def take(page: Path, out: Path) -> None:
    """Picture a page down to the first part that is folded."""
    from playwright.sync_api import sync_playwright

    browsers = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=next(browsers, None), args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": WIDTH, "height": 800}, color_scheme="light")
        opened.goto(page.absolute().as_uri())
        end = opened.evaluate(
            """() => {
              const folded = [...document.querySelectorAll("main details")].find(one => !one.closest("table, li"));
              return folded ? folded.getBoundingClientRect().top : document.documentElement.scrollHeight;
            }"""
        )
        opened.screenshot(path=str(out), full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": end})
        browser.close()


if __name__ == "__main__":
    main()
