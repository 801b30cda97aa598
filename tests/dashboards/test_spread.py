"""The model of rows and seeds, levels of several claims, and of looks, against other ways to compute them."""

import numpy as np
import pytest
from scipy import special, stats

from unlabeled.dashboards import spread
from unlabeled.dashboards.rates import Design, rate_of_each, spent, step_down
from unlabeled.dashboards.spread import contrast_error, spreads

ALL = np.ones((6, 5), dtype=bool)


def drawn(rows, seeds, deviations=None, studies=1, seed=0):
    random = np.random.default_rng(seed)
    block = random.normal(size=(studies, 1, seeds))
    return random.normal(size=(studies, rows, seeds)) * np.reshape(deviations or [1.0] * rows, (-1, 1)) + block


def test_the_common_variance_is_that_of_a_two_way_layout():
    values = drawn(6, 5)[0]
    residuals = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    found = spreads(values, ALL)
    assert found.freedom == 20
    assert found.common == pytest.approx((residuals**2).sum() / 20)
    lone = spreads(values, ALL, blocks=False)
    assert lone.freedom == 24
    assert lone.own == pytest.approx(values.var(axis=1, ddof=1))


def test_missing_runs_are_least_squares():
    values, present = drawn(6, 5)[0], ALL.copy()
    present[1, 3:] = present[4, 0] = False
    rows, seeds = np.nonzero(present)
    terms = np.hstack([rows[:, None] == np.arange(6), seeds[:, None] == np.arange(5)]).astype(float)
    _, _, rank, _ = np.linalg.lstsq(terms, values[present], rcond=None)
    left = values[present] - terms @ np.linalg.lstsq(terms, values[present], rcond=None)[0]
    found = spreads(values, present)
    assert found.freedom == len(rows) - rank
    assert found.common == pytest.approx((left**2).sum() / found.freedom)
    changed = values.copy()
    changed[~present] = 1e6
    assert spreads(changed, present).variance == pytest.approx(found.variance), "what is absent is not read"


def test_two_rows_are_a_paired_test():
    values = drawn(2, 4)[0]
    error, freedom = contrast_error(spreads(values, np.ones((2, 4), dtype=bool)), np.array([1.0, -1.0]), 4)
    expected = stats.ttest_rel(values[0], values[1])
    assert freedom == 3
    assert (values[0] - values[1]).mean() / error == pytest.approx(expected.statistic)


def test_without_what_rows_lend_it_is_welchs_test(monkeypatch):
    monkeypatch.setattr(spread, "LENT", 0.0)
    values = drawn(2, 5, [1.0, 3.0])[0]
    error, freedom = contrast_error(
        spreads(values, np.ones((2, 5), dtype=bool), blocks=False), np.array([1.0, -1.0]), 5
    )
    expected = stats.ttest_ind(values[0], values[1], equal_var=False)
    assert (values[0] - values[1]).mean() / error == pytest.approx(expected.statistic)
    assert freedom == pytest.approx(expected.df)


def test_each_rows_variance_is_unbiased_whatever_the_rows_are_like(monkeypatch):
    deviations, present = [1.0, 2.0, 0.5, 1.0, 3.0, 1.0], ALL.copy()
    present[1, 4] = False
    found = spreads(drawn(6, 5, deviations, studies=40_000), present)
    design = spread._design(present.shape, present.tobytes(), True)
    raw = ((drawn(6, 5, deviations, studies=40_000)[..., present] @ design.residual) ** 2) @ design.of_row
    assert (raw @ design.unmix.T).mean(0) == pytest.approx(np.square(deviations), abs=0.12)
    assert found.own.min() >= 0


def test_levels_of_claims_against_one_row_are_dunnetts():
    correlation = 0.5 + 0.5 * np.eye(5)
    each = rate_of_each(correlation, 0.05)
    normal = np.random.default_rng(1).standard_normal((300_000, 6))
    largest = np.abs(normal[:, 1:] - normal[:, :1]).max(1) / np.sqrt(2)
    assert (largest > special.ndtri(1 - each / 2)).mean() == pytest.approx(0.05, abs=0.0025)
    assert rate_of_each(np.eye(5), 0.05) == pytest.approx(1 - 0.95**0.2, rel=0.03)  # Sidak
    assert rate_of_each(np.eye(1), 0.05) == 0.05
    values = np.random.default_rng(3).normal(size=(6, 40))
    values[1] += 0.6
    dunnett = stats.dunnett(*values[1:], control=values[0], random_state=np.random.default_rng(0)).pvalue[0]
    statistic = stats.dunnett(*values[1:], control=values[0], random_state=np.random.default_rng(0)).statistic[0]
    assert rate_of_each(correlation, dunnett) == pytest.approx(2 * stats.t.sf(abs(statistic), 6 * 39), rel=0.15)


def test_claims_that_fall_make_room():
    p_values = [0.001, 0.02, 0.2]
    rates = step_down([lambda rate, p=p: p < rate for p in p_values], np.eye(3), 0.05)
    assert rates == pytest.approx([1 - 0.95 ** (1 / 3), 1 - 0.95**0.5, 0.05], rel=0.03)
    assert step_down([lambda rate: False] * 2, np.eye(2), 0.05, fallen=[0])[1] == 0.05


@pytest.mark.parametrize(("first", "patient"), [(3, False), (5, False), (3, True)])
def test_any_looks_together_decide_at_the_claims_rate(first, patient):
    design = Design(first)
    steps = np.random.default_rng(first).standard_normal((60_000, 40), dtype=np.float32)
    steps.cumsum(axis=1, out=steps)
    bounds = np.array(
        [special.ndtri(1 - design.level(0.05, num, patient) / 2) * np.sqrt(num) for num in range(first, 41)]
    )
    crossed = np.abs(steps[:, first - 1 :]) > bounds
    assert crossed.any(1).mean() == pytest.approx(0.85 * 0.05, abs=0.003)  # 3.6 standard errors
    assert crossed[:, 0].mean() == pytest.approx(0.005 if patient else 0.03, abs=0.0026)
    for num in (10, 20):
        seen = crossed[:, : num - first + 1].any(1).mean()
        assert seen == pytest.approx(0.05 * spent(first, 40, num, patient), abs=0.003)


def test_what_a_design_never_decides_with():
    assert Design(3).level(0.05, 2) == Design(3).level(0.05, 41) == Design(3, fixed=True).level(0.05, 4) == 0
    assert Design(3, fixed=True).level(0.05, 3) == Design(50).level(0.05, 50) == 0.05
    assert Design(3).level(0.0, 3) == 0
