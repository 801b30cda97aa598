"""The lower bounds that are promised are those that are tried."""

import re
import subprocess
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


def test_what_the_script_runs_is_there() -> None:
    script = (ROOT / "tests" / "lower-bounds.sh").read_text()
    named = re.findall(r"(?<!--deselect )\b(tests/\S+\.py)(?!\S)", script)
    assert named
    listed = subprocess.run(
        ["bash", "-c", f"ls {' '.join(named)}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert listed.returncode == 0, listed.stderr
