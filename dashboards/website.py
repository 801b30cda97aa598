"""The reports of all studies as one site: what there is, what each study found, what each method did, every claim.

Plain files: no server, no JavaScript, nothing fetched. Equal runs give equal bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from unlabeled.dashboards.answered import scales, strips
from unlabeled.dashboards.counted import counted
from unlabeled.dashboards.folder import Pages
from unlabeled.dashboards.levels import extremes, levels, strip
from unlabeled.dashboards.measured import Measured, slug
from unlabeled.dashboards.pages import Around, Link, render
from unlabeled.dashboards.report import Report, verdict_frame
from unlabeled.dashboards.verdicts import Verdict

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

    ``index.html``, ``claims.html``, ``claims.csv`` and ``methods.html``, a folder for each report, and a page for each
    method. Pages of methods that are neither used nor handed in any more are taken away. Where a file of others is in
    the way of any of them, none is written.

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
    files["methods.html"] = _by_family(abouts, rows, reports, links)
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


def site_links(up: str) -> tuple[Link, ...]:
    """Return the links that every page has, from a folder that is ``up`` from the site's."""
    return (
        ("All studies", f"{up}index.html"),
        ("All claims", f"{up}claims.html"),
        ("Methods", f"{up}methods.html"),
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


def _by_family(
    abouts: Sequence[About],
    used: Mapping[str, Sequence[Used]],
    reports: Mapping[str, Report],
    links: Mapping[str, str],
) -> str:
    """Say what families of methods there are, and draw how far each method came where most stand side by side."""
    most, shown = max(
        ((len({name for name in used if any(u.study == study for u in used[name])}), study) for study in reports),
        default=(0, ""),
        key=lambda found: found[0],
    )
    part = reports[shown].parts[0] if most > 1 and reports[shown].parts else None
    drawn = levels(part) if part else {}
    kin: dict[Family, list[Kin]] = {}
    for about in abouts:
        here = tuple((u, drawn[u.row]) for u in used[about.name] if u.study == shown and u.row in drawn)
        elsewhere = tuple(u for u in used[about.name] if u.study != shown or u.row not in drawn)
        kin.setdefault(about.family, []).append(Kin(about, here, elsewhere))
    return render("methods.html.j2", kin=kin, links=links, part=part, shown=shown, reports=reports)


def _claims_frame(reports: Mapping[str, Report]) -> pd.DataFrame:
    frames = [verdict_frame(report.judged).assign(study=study) for study, report in reports.items()]
    filled = [frame for frame in frames if len(frame)] or [verdict_frame([]).assign(study="")]
    together = pd.concat(filled, ignore_index=True)
    return together[["study", *(name for name in together.columns if name != "study")]]
