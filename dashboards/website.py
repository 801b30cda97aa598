"""The reports of all studies as one site: what there is, what each study found, what each method did, every claim.

Plain files: no server, no JavaScript, nothing fetched. Equal runs give equal bytes.
"""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from unlabeled.dashboards.answered import scales, strips
from unlabeled.dashboards.counted import counted
from unlabeled.dashboards.drawing import SERIES, short
from unlabeled.dashboards.figures import MAX_NAMED
from unlabeled.dashboards.folder import Pages
from unlabeled.dashboards.measured import Measured, slug
from unlabeled.dashboards.pages import Around, Link, render
from unlabeled.dashboards.report import Report, verdict_frame
from unlabeled.dashboards.titles import title_of
from unlabeled.dashboards.verdicts import Verdict
from unlabeled.dashboards.wording import count

LEFT, LONGEST = 112, 18  # of a card's drawing: the room for rows' names, and their characters
GROUPS = {
    "contradicted": "Measured clearly otherwise than claimed.",
    "smaller than claimed": "The sign is as claimed; the size is clearly below what was asked for.",
    "no difference": "A difference was claimed, and what there is of one is negligible.",
    "held": "Measured as claimed; where no size is asked for, the direction is all that held.",
    "not decided": "The seeds so far leave it open.",
}


@dataclass(frozen=True)
class Declared:
    """A study as it is declared now, whether or not it has run.

    Attributes:
        name: as in ``unlabeled study run NAME``.
        question: what it asks.
        cost: runs times minutes, on what.
    """

    name: str
    question: str
    cost: str


@dataclass(frozen=True)
class About:
    """What a method says of itself.

    Attributes:
        name: as in ``method.name``.
        head: its first sentence.
        text: the paragraphs after it: the paper, what differs from it.
    """

    name: str
    head: str
    text: tuple[str, ...] = ()


@dataclass(frozen=True)
class Searched:
    """A search in the store.

    Attributes:
        name: its experiment.
        question: what it asks.
        num_runs: how many runs it has.
        num_finished: how many of them finished.
        page: its report, from the site's folder; empty where it has none.
    """

    name: str
    question: str
    num_runs: int
    num_finished: int
    page: str = ""


@dataclass(frozen=True)
class Used:
    """A row of a study that trained with a method."""

    study: str
    title: str
    row: str
    measured: Measured | None
    values: Mapping[Any, Any]


@dataclass(frozen=True)
class Judged:
    """A claim of a study with its verdict, and the place of the claim in the study."""

    study: str
    place: int
    verdict: Verdict


def write_site(
    out: Path,
    reports: Mapping[str, Report],
    studies: Sequence[Declared] = (),
    methods: Sequence[About] = (),
    searches: Sequence[Searched] = (),
    failed: Mapping[str, str] | None = None,
    beside: Sequence[Pages] = (),
) -> Path:
    """Write the site into a folder and return its first page.

    ``index.html``, ``claims.html`` and ``claims.csv``, a folder for each report, and a page for each method. Pages of
    methods that are neither used nor handed in any more are taken away. Where a file of others is in the way of any of
    them, none is written.

    Args:
        out: the folder; made if needed.
        reports: study -> its report, in reading order.
        studies: all that are declared; those without a report are listed as not yet run.
        methods: what the methods say of themselves.
        searches: listed beside the studies.
        failed: study -> why it could not be reported.
        beside: further pages of the site, in folders of their own: those of the searches.

    Raises:
        UserError: files of others are in the way, see :class:`unlabeled.dashboards.folder.Pages`.
    """
    failed = failed or {}
    waiting = [study for study in studies if study.name not in {*reports, *failed}]
    used = used_by(reports)
    told = {about.name: about for about in methods}
    abouts = [*methods, *(About(name, name) for name in used if name not in told)]
    judged = [
        Judged(study, place, verdict)
        for study, report in reports.items()
        for place, verdict in enumerate(report.judged, start=1)
    ]
    groups = {decision: [one for one in judged if one.verdict.decision == decision] for decision in GROUPS}
    shared = {"reports": reports, "waiting": waiting, "failed": failed, "searches": searches, "groups": groups}
    rows = {about.name: used.get(about.name, []) for about in abouts}
    links = {about.name: method_page(about.name) for about in abouts}
    claims = render("claims-page.html.j2", about=GROUPS, judged=judged, **shared)
    cards = {
        study: (strip(report.parts[0]), extremes(report.parts[0])) if report.parts else ("", [])
        for study, report in reports.items()
    }
    drawn = {"strips": strips(verdicts := [one.verdict for one in judged]), "scales": scales(verdicts)}
    index = render(
        "index.html.j2", cards=cards, abouts=abouts, used=rows, links=links, judged=judged, **drawn, **shared
    )
    files = {links[about.name]: _about_method(about, rows[about.name]) for about in abouts}
    files |= {"claims.csv": _claims_frame(reports).to_csv(index=False), "claims.html": claims, "index.html": index}
    arounds = _arounds(reports, abouts)
    parts = [*(reports[study].pages(out / study, around) for study, around in arounds.items()), *beside]
    site = Pages(out, files)
    for pages in (*parts, site):
        pages.check()
    for pages in (*parts, site):  # the first page last: what it leads to is there
        pages.write()
    return out / "index.html"


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


def strip(one: Measured) -> Markup:
    """Draw a measure's rows as a strip of dots with intervals and the untrained encoder, small enough for a list."""
    table = one.table[one.table["n"] > 0]
    if table.empty:
        return Markup("")
    bounds = table[["low", "high"]].clip(0.0, 1.0) if one.unit.is_fraction else table[["low", "high"]]
    drawn = np.concatenate([table["mean"], table["untrained"], *bounds.to_numpy().T])
    low, high = float(np.nanmin(drawn)), float(np.nanmax(drawn))
    pitch = min(18.0, 180.0 / len(table))

    def across(value: float) -> str:
        return f"{LEFT + 8 + 224 * ((value - low) / (high - low) if high > low else 0.5):.1f}"

    marks = []
    for place, (mean, start, (left, right)) in enumerate(
        zip(table["mean"], table["untrained"], bounds.to_numpy(), strict=True)
    ):
        colour = f"var(--series-{place % len(SERIES)})" if len(table) <= MAX_NAMED else "var(--ink)"
        y = f"{8 + pitch * (place + 0.5):.1f}"
        if math.isfinite(start):
            top, bottom = (f"{8 + pitch * (place + part):.1f}" for part in (0.1, 0.9))
            x = across(start)
            marks.append(f'<line x1="{x}" x2="{x}" y1="{top}" y2="{bottom}" stroke="var(--muted)" stroke-width="1.5"/>')
        if math.isfinite(left):
            x1, x2 = across(left), across(right)
            marks.append(f'<line x1="{x1}" x2="{x2}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>')
        if len(table) <= MAX_NAMED:
            name = html.escape(short(str(table.index[place]), LONGEST))
            marks.append(f'<text x="0" y="{float(y) + 4:.1f}" font-size="10" fill="var(--ink)">{name}</text>')
        radius = f"{max(2.0, min(4.0, 0.45 * pitch)):.1f}"
        marks.append(f'<circle cx="{across(mean)}" cy="{y}" r="{radius}" fill="{colour}"/>')
    words = html.escape(
        f"{title_of(one.metric)} of {count(len(table), 'row')}: "
        + "; ".join(f"{row} {one.unit.value(mean)}" for row, mean in table["mean"].items())
    )
    height = f"{16 + pitch * len(table):.0f}"
    head = f'<svg role="img" aria-label="{words}" viewBox="0 0 {LEFT + 240} {height}"><title>{words}</title>'
    return Markup(f"{head}{''.join(marks)}</svg>")


def extremes(one: Measured) -> list[tuple[str, str, str]]:
    """Return the rows that measure most and least with their values, and the untrained encoder's mean."""
    table = one.table[one.table["n"] > 0]
    if table.empty:
        return []
    found = [("Highest", str(table["mean"].idxmax()), one.unit.value(float(table["mean"].max())))]
    if len(table) > 1:
        found.append(("Lowest", str(table["mean"].idxmin()), one.unit.value(float(table["mean"].min()))))
    if one.has_untrained:
        found.append(("Untrained", "mean of rows", one.unit.value(float(table["untrained"].mean()))))
    return found


def site_links(up: str) -> tuple[Link, ...]:
    """Return the links that every page has, from a folder that is ``up`` from the site's."""
    return (
        ("All studies", f"{up}index.html"),
        ("All claims", f"{up}claims.html"),
        ("Methods", f"{up}index.html#methods"),
    )


def _arounds(reports: Mapping[str, Report], methods: Sequence[About]) -> dict[str, Around]:
    """Return each study's links: the site, its methods, the studies before and after it."""
    names, by_name = list(reports), {about.name: about for about in methods}
    found = {}
    for place, name in enumerate(names):
        beside = [names[place + step] if 0 <= place + step < len(names) else None for step in (-1, 1)]
        before, after = ((reports[n].title, f"../{n}/index.html") if n else None for n in beside)
        links = tuple((method, f"../{method_page(method)}") for method in reports[name].methods if method in by_name)
        found[name] = Around(site_links("../"), links, before, after)
    return found


def method_page(name: str) -> str:
    """Return where a method's page is, from the site's folder."""
    return f"methods/{slug(name)}.html"


def _about_method(about: About, used: Sequence[Used]) -> str:
    return render("method.html.j2", about=about, used=used, pages=site_links("../"))


def _claims_frame(reports: Mapping[str, Report]) -> pd.DataFrame:
    frames = [verdict_frame(report.judged).assign(study=study) for study, report in reports.items()]
    filled = [frame for frame in frames if len(frame)] or [verdict_frame([]).assign(study="")]
    together = pd.concat(filled, ignore_index=True)
    return together[["study", *(name for name in together.columns if name != "study")]]
