"""The site's pages of methods: what each says of itself and where it was used, and all of them by family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from unlabeled.dashboards.counted import counted
from unlabeled.dashboards.levels import levels
from unlabeled.dashboards.measured import Measured, slug
from unlabeled.dashboards.pages import render, site_links
from unlabeled.dashboards.report import Report
from unlabeled.dashboards.shown import gallery

FAMILIES = "methods.html"


@dataclass(frozen=True)
class Family:
    """What methods have in common, as ``unlabeled methods`` lists them: its name, and a sentence of them."""

    name: str = ""
    idea: str = ""


@dataclass(frozen=True)
class About:
    """What a method says of itself.

    Attributes:
        name: as in ``method.name``.
        head: its first sentence.
        text: the paragraphs after it: the paper, what differs from it.
        family: which it is of.
        paper: authors, year, where to find it.
        cost: of a training step over its encoder's; None where nobody counted.
    """

    name: str
    head: str
    text: tuple[str, ...] = ()
    family: Family = Family()
    paper: str = ""
    cost: float | None = None

    @property
    def page(self) -> str:
        """Where its page is, from the site's folder."""
        return method_page(self.name)


@dataclass(frozen=True)
class Used:
    """A row of a study that trained with a method."""

    study: str
    title: str
    row: str
    measured: Measured | None
    values: Mapping[Any, Any]


@dataclass(frozen=True)
class Kin:
    """A method of a family, and how far it came in the study that shows most methods side by side.

    Attributes:
        about: the method.
        here: its rows in that study, each with its drawing.
        elsewhere: its rows in other studies.
    """

    about: About
    here: tuple[tuple[Used, Markup], ...]
    elsewhere: tuple[Used, ...]


def used_by(reports: Mapping[str, Report]) -> dict[str, list[Used]]:
    """Return method -> every row of every study whose counted runs trained with it."""
    found: dict[str, list[Used]] = {}
    for study, report in reports.items():
        if not report.methods:
            continue
        done = counted(report.runs)
        table = report.parts[0].table if report.parts else pd.DataFrame()
        for row in report.rows:
            for method in dict.fromkeys(done.loc[done["row"] == row, "method.name"].dropna().astype(str)):
                values = table.loc[row].to_dict() if row in table.index else {"n": 0}
                part = report.parts[0] if report.parts else None
                found.setdefault(method, []).append(Used(study, report.title, row, part, values))
    return found


def method_page(name: str) -> str:
    """Return where a method's page is, from the site's folder."""
    return f"methods/{slug(name)}.html"


def all_about(methods: Sequence[About], used: Mapping[str, Sequence[Used]]) -> list[About]:
    """Return what was handed in, and of other methods that were used their name."""
    told = {about.name for about in methods}
    return [*methods, *(About(name, name) for name in used if name not in told)]


def by_family(abouts: Sequence[About]) -> dict[Family, list[About]]:
    """Return family -> its methods, in reading order."""
    found: dict[Family, list[About]] = {}
    for about in abouts:
        found.setdefault(about.family, []).append(about)
    return found


def method_pages(
    abouts: Sequence[About], used: Mapping[str, Sequence[Used]], reports: Mapping[str, Report]
) -> dict[str, str]:
    """Return the page of each method and the page of all, by where they are from the site's folder."""
    files = {}
    for about in abouts:
        rows = used.get(about.name, ())
        seen, pictures = _seen(rows, reports)
        values = {"about": about, "used": rows, "seen": seen, "pictures": pictures, "pages": site_links("../")}
        files[about.page] = render("method.html.j2", **values)
    return {FAMILIES: _page_of_families(abouts, used, reports), **files}


def _seen(rows: Sequence[Used], reports: Mapping[str, Report]) -> tuple[Used | None, list[dict[str, Any]]]:
    """Return the row of which a method's page shows pictures, the one that has most, and these: views, and figures."""

    def of(row: Used) -> dict[str, Path]:
        kept = reports[row.study].artifacts.get(row.row, {})
        return {kind: path for kind, path in kept.items() if kind != "tsne" and path.is_file()}

    seen = max(rows, key=lambda row: len(of(row)), default=None)
    return seen, [] if seen is None else gallery({seen.row: of(seen)}, [seen.row])


def _page_of_families(
    abouts: Sequence[About], used: Mapping[str, Sequence[Used]], reports: Mapping[str, Report]
) -> str:
    """Draw how far each method came in the study that shows most of them side by side."""
    together = {study: sum(any(row.study == study for row in rows) for rows in used.values()) for study in reports}
    shown = max(together, key=lambda study: together[study], default="")
    part = reports[shown].parts[0] if together.get(shown, 0) > 1 and reports[shown].parts else None
    drawn = levels(part) if part else {}

    def kin(about: About) -> Kin:
        rows = used.get(about.name, ())
        here = tuple((row, drawn[row.row]) for row in rows if row.study == shown and row.row in drawn)
        return Kin(about, here, tuple(row for row in rows if row.study != shown or row.row not in drawn))

    families = {family: [kin(about) for about in of] for family, of in by_family(abouts).items()}
    return render("methods.html.j2", families=families, part=part, shown=shown, reports=reports, pages=site_links(""))
