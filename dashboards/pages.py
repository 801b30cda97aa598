"""From templates to pages: what every page of the site shares."""

import math
import re
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from unlabeled.dashboards import drawing, wording
from unlabeled.dashboards.inference import LEVEL, is_ours, published_of
from unlabeled.dashboards.power import CHANCES, seeds_in_words
from unlabeled.platform.metrics import duration, unit_of

TEMPLATES = Path(__file__).parent / "templates"
SYMBOLS = {"held": "✓", "smaller than claimed": "↓", "contradicted": "✗", "not decided": "?"}


def render(template: str, **values: object) -> str:
    """Render a page; text is escaped, a name that the template asks for and doesn't get is an error."""
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
    environment.filters["linked"] = linked
    environment.tests["finite"] = math.isfinite
    environment.globals |= {"symbols": SYMBOLS, "unit_of": unit_of, "level": LEVEL, "chances": CHANCES}
    environment.globals |= {"is_ours": is_ours, "published_of": published_of, "seeds_in_words": seeds_in_words}
    return environment.get_template(template).render(**values)


def linked(text: str) -> Markup:
    """Escape a text and link the papers that it names.

    >>> str(linked("He & al., arXiv:1911.05722"))
    'He &amp; al., <a href="https://arxiv.org/abs/1911.05722">arXiv:1911.05722</a>'
    """
    paper = r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>'
    return Markup(re.sub(r"arXiv:(\d{4}\.\d{4,5})", paper, str(escape(text))))
