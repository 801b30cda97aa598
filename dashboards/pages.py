"""From templates to files: what every page of the site shares."""

import math
import os
import re
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from unlabeled.dashboards import drawing, wording
from unlabeled.dashboards.inference import LEVEL, MOST_SEEDS
from unlabeled.dashboards.units import unit_of

TEMPLATES = Path(__file__).parent / "templates"
SYMBOLS = {"held": "✓", "contradicted": "✗", "not decided": "?"}


def render(template: str, **values: object) -> str:
    """Render a page; text is escaped, a name that the template asks for and doesn't get is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(wording, name) for name in ("probability", "count", "duration")}
    environment.filters["inlined"] = lambda figure: Markup(drawing.inline(figure[1], figure[0]))
    environment.filters["linked"] = linked
    environment.tests["finite"] = math.isfinite
    environment.globals |= {"symbols": SYMBOLS, "unit_of": unit_of, "level": LEVEL, "most_seeds": MOST_SEEDS}
    return environment.get_template(template).render(**values)


def linked(text: str) -> Markup:
    """Escape a text and link the papers that it names.

    >>> str(linked("He & al., arXiv:1911.05722"))
    'He &amp; al., <a href="https://arxiv.org/abs/1911.05722">arXiv:1911.05722</a>'
    """
    paper = r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>'
    return Markup(re.sub(r"arXiv:(\d{4}\.\d{4,5})", paper, str(escape(text))))


def write(path: Path, text: str) -> None:
    """Write a file as a whole or not at all: a reader never sees half of it."""
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        half.write_text(text, encoding="utf-8")
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
