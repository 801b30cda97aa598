"""The picture of speeds over time: what is measured is drawn, whatever it is called."""

from pathlib import Path

import pytest

from benchmarks import history
from unlabeled.dashboards.drawing import SERIES

ROW = {"date": "2026-01-01", "commit": "abc", "processor": "P", "cores": 2, "what": "simclr, 32 px, fp32", "target": ""}


def test_every_measurement_is_a_point_of_its_peer() -> None:
    rows = [
        {**ROW, "ratio": 2.0, "reference": "5 images/s, lightly", "target": "at least 4.3"},
        {**ROW, "ratio": 3.0, "reference": "5 images/s, lightly", "commit": "def"},
        {**ROW, "ratio": 1.5, "reference": "5 images/s, <other>", "what": "mae, 32 px, fp32"},
    ]
    svg = history.drawn(rows)
    assert "&lt;other&gt;" in svg
    assert "<other>" not in svg
    for word in ("abc", "def", "simclr, 32 px", "mae, 32 px", "what is asked of it", "2.00 of lightly, 2026-01-01"):
        assert word in svg
    assert all(colour in svg for colour in SERIES[:2])


def test_what_is_kept_can_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "speed.svg"
    monkeypatch.setattr("sys.argv", ["history", "--out", str(out)])
    history.main()
    assert out.read_text().startswith("<svg")
