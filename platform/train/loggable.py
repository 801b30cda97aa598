"""Names and texts as a tracking store takes them: what MLflow would refuse after a run is trained is renamed before.

MLflow takes names of letters, digits and ``_ - . : / space``, at most 250 characters, that a file could have too. Its
databases take no half of a surrogate pair, which names of files may hold, and PostgreSQL no NUL.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

MAX_NAME = 250  # characters, of a metric, a parameter or a tag
MAX_PARAMETER = 6000
MAX_TAG = 5000  # of older servers; newer ones take 8,000
MAX_EXPERIMENT_TAG = 5000
MAX_OF_DATASET = {"name": 500, "digest": 36, "source_type": 36, "source": 65535, "profile": 65535}


def metric_name(text: str) -> str:
    """Return a metric's name as MLflow takes it, the same one if it does already.

    A colon goes too: MLflow on Windows refuses it, and before it frames keep what is no metric.

    >>> metric_name("pretext/acc@1"), metric_name("test/linear/top1")
    ('pretext/acc_1', 'test/linear/top1')
    >>> metric_name("/a/../b//c:d"), metric_name("")
    ('a/__/b/c_d', 'unnamed')
    """
    return key_name(text.replace(":", "_"))


def key_name(text: str) -> str:
    """Return a parameter's or tag's name as MLflow takes it; a colon may stay.

    >>> key_name("protocol:test/linear/top1"), key_name("method.a=b")
    ('protocol:test/linear/top1', 'method.a_b')
    """
    parts = [re.sub(r"[^\w.\- :]", "_", part) for part in text.split("/") if part]
    parts = [re.sub(r"^(\.$|\.{2,})", lambda dots: "_" * len(dots[0]), part) for part in parts]  # ".." leads elsewhere
    name = "/".join(parts) or "unnamed"
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]  # else two could become one
    return key_name(f"{name[: MAX_NAME - 13]}-{digest}")


def plain_text(text: str, most: int) -> str:
    """Return a text that every database takes, cut to ``most`` characters; an ellipsis says that it was cut.

    >>> plain_text("caf\\udce9", 20), plain_text("a\\0b", 20), plain_text("abcdef", 4)
    ('caf\\\\udce9', 'a\\\\x00b', 'abc…')
    """
    whole = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"


def loggable(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give fields of a journal names and texts that MLflow takes, so that nothing is refused after a run is trained."""
    found = dict(fields)
    if "name" in found:
        found["name"] = plain_text(found["name"], MAX_NAME)
    if "metrics" in found:
        found["metrics"] = {metric_name(name): float(value) for name, value in found["metrics"].items()}
    for kind, most in (("params", MAX_PARAMETER), ("tags", MAX_TAG)):
        if kind in found:
            found[kind] = {key_name(name): plain_text(str(text), most) for name, text in found[kind].items()}
    if "dataset" in found:
        found["dataset"] = {name: plain_text(text, MAX_OF_DATASET[name]) for name, text in found["dataset"].items()}
    return found
