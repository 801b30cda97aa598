"""How often claims are decided falsely and rightly; ``python -m benchmarks claims`` does it in the large."""

import numpy as np
import pytest

from benchmarks import claims
from unlabeled.dashboards.rates import Design


@pytest.mark.parametrize("kind", claims.KINDS)
@pytest.mark.parametrize(("first", "most"), [(5, 5), (3, 12)])
def test_five_true_nulls_are_decided_falsely_in_five_percent_of_studies(kind, first, most):
    values = claims.drawn(kind, 1500, most, seed=first)
    falsely = claims.ever(values, Design(first, fixed=first == most), most).any(1)
    assert claims.bound(falsely) <= 0.05


def test_a_look_after_every_run_decides_no_more_falsely():
    falsely = claims.ever(claims.drawn("normal", 1000, 8, seed=1), Design(3), 8, every_run=True).any(1)
    assert claims.bound(falsely) <= 0.05


def test_looking_again_at_five_percent_would(monkeypatch):
    monkeypatch.setattr(Design, "level", lambda self, rate, num, patient=False: rate if num >= self.first else 0.0)
    falsely = claims.ever(claims.drawn("normal", 1000, 20, seed=2), Design(3), 20).any(1)
    assert falsely.mean() > 0.08, "what spending the rate is for"


def test_twice_as_many_effects_are_found_as_by_pairs():
    values = claims.drawn("normal", 4000, 5, seed=4)
    values[:, 1:] += 1.0
    assert claims.ever(values, Design(5, fixed=True), 5).mean() > 1.85 * claims.holm_of_pairs(values).mean()


@pytest.mark.parametrize("num", [3, 5])
def test_intervals_cover(num):
    test = claims.tested(claims.drawn("normal", 8000, num, seed=num), np.ones((6, num), dtype=bool))
    assert ((test.low < 0) & (test.high > 0)).mean() == pytest.approx(0.95, abs=0.012)
