import math

import pytest

from unlabeled.platform.metrics import unit_of


@pytest.mark.parametrize(
    ("metric", "value", "written", "difference"),
    [
        ("test/knn/top1", 0.8461, "84.6 %", "+84.6 points"),
        ("contrast/top5", 0.5, "50.0 %", "+50.0 points"),
        ("test/zero_shot/accuracy", 0.031, "3.1 %", "+3.1 points"),
        ("system/training_memory_mb", 1234.5, "1,234 MB", "+1,234 MB"),
        ("system/training_seconds", 41.23, "41.2 s", "+41.2 s"),
        ("train/images_per_second", 1012.0, "1,012 /s", "+1,012 /s"),
        ("contrast/mutual_information_bound", 3.21, "3.21 nats", "+3.21 nats"),
        ("train/loss", 4.567, "4.57", "+4.57"),
        ("test/emoji/linear-10pct/top1", 0.5, "50.0 %", "+50.0 points"),
        ("test/kmeans/nmi", 0.5123, "0.512", "+0.512"),
        ("test/kmeans/ari", 0.031, "0.031", "+0.031"),
        ("top1/std", 0.02, "0.02", "+0.02"),
    ],
)
def test_the_name_tells_the_unit(metric: str, value: float, written: str, difference: str) -> None:
    unit = unit_of(metric)
    assert unit.value(value) == written
    assert unit.difference(value) == difference
    assert unit.difference(-value) == "−" + difference[1:]
    assert unit.value(math.nan) == unit.difference(math.nan) == "—"
    assert unit.signed(0.0) in {"0", "0.0"}
