"""From what is read to pages: what all reports are, and what every page of the site shares."""

import base64
import hashlib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from unlabeled.dashboards import drawing, wording
from unlabeled.dashboards.bases import Base
from unlabeled.dashboards.counted import counted
from unlabeled.dashboards.drawing import Drawn
from unlabeled.dashboards.folder import Pages
from unlabeled.dashboards.inference import LEVEL
from unlabeled.dashboards.power import CHANCES, seeds_in_words
from unlabeled.dashboards.reasons import compared_rows
from unlabeled.dashboards.titles import title_of
from unlabeled.platform.metrics import duration, unit_of

TEMPLATES = Path(__file__).parent / "templates"
SCRIPT = (TEMPLATES / "sort.js").read_text(encoding="utf-8")
"""The only script of any page, which sorts tables: pages forbid all others, whatever text is in them."""
SYMBOLS = {"held": "✓", "no difference": "=", "smaller than claimed": "↓", "contradicted": "✗", "not decided": "?"}

_UNITS = re.compile(
    r"(?<=\d) (?=(?:points?|seeds?|runs?|claims?|rows?|epochs?|nats|MB|GB|s|min|h)\b|%)"
    r"|\bp (?:=|<|&lt;) (?=\d)|± (?=\d)"
)

Link = tuple[str, str]
"""Words, and where they lead."""


Columns = tuple[list[str], list[str], list[str]]
"""Metrics, parameters and tags."""


@dataclass(frozen=True)
class Around:
    """The pages around a study's, as links from its folder.

    Attributes:
        pages: of the whole site.
        methods: of the methods that the study's runs used.
        previous: the study before it.
        next: the study after it.
        base: what this page's runs were made from; empty where the study has one base.
        others: of the study's other bases, words and where their pages are; nowhere for one that can't be shown.
    """

    pages: tuple[Link, ...] = ()
    methods: tuple[Link, ...] = ()
    previous: Link | None = None
    next: Link | None = None
    base: str = ""
    others: tuple[Link, ...] = ()

    def inside(self) -> Self:
        """Return the same from a folder further down."""
        pages, methods = (tuple((words, f"../{href}") for words, href in links) for links in (self.pages, self.methods))
        return replace(self, pages=pages, methods=methods, previous=None, next=None)


@dataclass(frozen=True)
class Page:
    """A page, before it is known where it will stand.

    Attributes:
        template: its template, in ``templates/``.
        values: what the template asks for, beside ``around`` and ``title``.
        figures: name, SVG and caption; each is a file beside the page, too.
        files: path -> text of the numbers beside it.
    """

    template: str
    values: Mapping[str, Any]
    figures: Sequence[Drawn]
    files: Mapping[str, str]


class Reported(ABC):
    """All that is said of an experiment's runs, ready to be written: a study's, or a search's.

    Attributes:
        record: the experiment as recorded; texts that it lacks are empty.
        runs: every run.
        has_record: whether a record was found.
        base: what the runs were made from, where that is known.
        others: the reports of the experiment's other bases, whose pages lie below this one's.
        unread: others that can't be reported: what they are called, and why not.
    """

    record: Mapping[str, Any]
    runs: pd.DataFrame
    has_record: bool
    base: Base | None = None
    others: tuple["Reported", ...] = ()
    unread: tuple[Link, ...] = ()

    @property
    def title(self) -> str:
        """The question, or the experiment's name where none is recorded."""
        return str(self.record["question"] or self.record["name"])

    @property
    @abstractmethod
    def answer(self) -> str:
        """What was found, in a few sentences of Markdown."""

    @property
    @abstractmethod
    def columns(self) -> Columns:
        """The metrics, parameters and tags by which a person tells its runs apart in MLflow's UI."""

    @property
    def methods(self) -> list[str]:
        """The methods that its counted runs trained with."""
        done = counted(self.runs)
        return list(dict.fromkeys(done["method.name"].dropna().astype(str))) if "method.name" in done else []

    @property
    def tags(self) -> dict[str, str]:
        """What is found in numbers, as tags of MLflow's."""
        return {}

    def among(self, base: Base, others: Sequence["Reported"] = (), unread: Sequence[Link] = ()) -> Self:
        """Return the same as the report of a base, with those of others below it."""
        return replace(self, base=base, others=tuple(others), unread=tuple(unread))  # type: ignore[type-var]

    @abstractmethod
    def page(self) -> Page:
        """Return the page, its figures and its numbers."""

    def pages(self, out: Path, around: Around = Around()) -> Pages:
        """Return the files to be written into a folder: this base's, and the others' in folders of their own."""
        files: dict[str, str] = {}
        places = {"": self.base, **{one.base.place: one.base for one in self.others if one.base}}
        unread = tuple((f"{words} (no page: {why})", "") for words, why in self.unread)
        for one in (*self.others, self):
            at = "" if one is self or one.base is None else f"{one.base.place}/"
            up = "../" if at else ""
            links = tuple(
                (base.summary, f"{up}{place}{'/' if place else ''}index.html")
                for place, base in places.items()
                if base and base is not one.base
            )
            is_one_of_several = one.base is not None and bool(links or unread)
            around_it = replace(
                around.inside() if at else around,
                base=one.base.words if one.base and is_one_of_several else "",
                others=(*links, *unread),
            )
            page = one.page()
            html = render(page.template, title=one.title, around=around_it, **page.values)
            drawn = {f"{name}.svg": svg for name, svg, _ in page.figures}
            files |= {f"{at}{name}": text for name, text in {**drawn, **page.files, "index.html": html}.items()}
        return Pages(out, files, is_whole=self.has_record)

    def write(self, out: Path, around: Around = Around()) -> Path:
        """Write the files into a folder, made if needed, and return the page.

        Raises:
            UserError: files of others are in the way, see :class:`unlabeled.dashboards.folder.Pages`.
        """
        return self.pages(out, around).write()


def render(template: str, **values: object) -> str:
    """Render a page; text is escaped, a name that the template asks for and doesn't get is an error."""
    return unbroken(_environment().get_template(template).render(**values))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(wording, name) for name in ("probability", "count")}
    environment.filters["duration"] = duration
    environment.filters["inlined"] = lambda figure: Markup(drawing.inline(figure[1], figure[0]))
    environment.filters["bare"] = lambda figure: Markup(drawing.inline(drawing.bare(figure[1]), figure[0]))
    environment.filters["linked"] = linked
    environment.filters["titled"] = title_of
    environment.filters["quoted"] = wording.quoted
    environment.filters["leaning"] = lambda words: f"Leans {words}"
    environment.tests["finite"] = math.isfinite
    environment.globals |= {"symbols": SYMBOLS, "unit_of": unit_of, "level": LEVEL, "chances": CHANCES}
    environment.globals |= {"seeds_in_words": seeds_in_words, "compared_rows": compared_rows}
    environment.globals |= {"script": Markup(SCRIPT), "script_hash": Markup(f"'sha256-{_sha256(SCRIPT)}'")}
    return environment


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def unbroken(page: str) -> str:
    """Keep a number and its unit in one line, in a page's words.

    >>> unbroken('<p title="9 %">p = 0.05, 95 % of 3 seeds</p>').replace("\\u00a0", "_")
    '<p title="9 %">p_=_0.05, 95_% of 3_seeds</p>'
    """
    parts = re.split(r"(<(?:style|script|title)\b.*?</(?:style|script|title)>|<[^>]*>)", page, flags=re.DOTALL)
    parts[::2] = [_UNITS.sub(lambda found: found[0].replace(" ", "\u00a0"), words) for words in parts[::2]]
    return "".join(parts)


def linked(text: str) -> Markup:
    """Escape a text, link the papers that it names, and set code in it as code.

    >>> str(linked("He & al., arXiv:1911.05722"))
    'He &amp; al., <a href="https://arxiv.org/abs/1911.05722">arXiv:1911.05722</a>'
    >>> str(linked("see ``lab.py``"))
    'see <code>lab.py</code>'
    """
    paper = r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>'
    text = re.sub(r"arXiv:(\d{4}\.\d{4,5})", paper, str(escape(text)))
    return Markup(re.sub(r"``([^`]+)``", r"<code>\1</code>", text))


def site_links(up: str) -> tuple[Link, ...]:
    """Return the links that every page has, from a folder that is ``up`` from the site's."""
    return (
        ("All studies", f"{up}index.html"),
        ("All claims", f"{up}claims.html"),
        ("Methods", f"{up}methods.html"),
    )
