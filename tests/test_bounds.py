"""The lower bounds that are promised are those that are tried."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_what_is_tried_is_what_is_promised() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    bounds = dict(re.fullmatch(r"([\w-]+)(?:\[.*\])?>=([\d.]+)", line).groups() for line in asked)  # type: ignore[union-attr]
    tried = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "constraints-lower.txt").read_text(), flags=re.MULTILINE))
    assert tried
    for name, version in tried.items():
        assert re.fullmatch(rf"{re.escape(bounds[name])}(\.0)*", version), f"{name}: {bounds[name]}, tried {version}"
