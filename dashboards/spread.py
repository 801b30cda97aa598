"""One model of a study's runs: a value is its row's mean, what its seed decides, and an error whose size is its row's.

A seed decides the order of the data, the first weights and the views of all rows alike, so it is a block of the design,
and differences of rows are free of it. Three seeds say little of one row's errors; the study's other rows say more. So
each row's variance is estimated by itself, without bias under whatever variances the rows have (MINQUE; Rao 1971, with
unit weights), and drawn towards the variance that all rows have in common (Smyth 2004), which counts like ``LENT``
degrees of freedom, and no more than a row's own. A contrast of rows has Student's t with Welch and Satterthwaite's
degrees of freedom, and never more than the design has. ``benchmarks/claims.py`` measures what this does where rows
spread alike, and where they do not.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

LENT = 2.5  # degrees of freedom: chosen by simulation between power where rows spread alike, and safety where not

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Spreads:
    """What the errors of a table's rows are like.

    Attributes:
        variance: of each row's errors, drawn towards the common one, [..., rows].
        own: the same by itself; at least 0. NaN where the table can't tell rows apart.
        common: of all rows' errors, [...].
        row_freedom: degrees of freedom of each row's variance, [rows].
        freedom: of the common variance, which no contrast exceeds.
    """

    variance: Array
    own: Array
    common: Array
    row_freedom: Array
    freedom: int


@dataclass(frozen=True)
class _Design:
    """What a table's errors are estimated by: it depends on which runs there are, not on what they measured."""

    residual: Array  # [N, N], what takes rows and seeds out of the values
    of_row: Array  # [N, rows], 1 where a value is the row's
    unmix: Array | None  # [rows, rows], from sums of squared residuals to unbiased variances
    freedom: int


def spreads(values: Array, present: np.ndarray[Any, np.dtype[np.bool_]], blocks: bool = True) -> Spreads:
    """Estimate the errors of tables that miss the same values.

    Args:
        values: [..., rows, seeds]; whatever stands where nothing is present is not read.
        present: [rows, seeds], at least one value a row.
        blocks: take out what a seed has in common: right for differences of rows, not for a row's own mean.
    """
    design = _design(present.shape, present.tobytes(), blocks)
    residuals = values[..., present] @ design.residual
    squares = residuals**2
    common = squares.sum(-1) / max(design.freedom, 1)
    row_sums, num = squares @ design.of_row, present.sum(1)
    if design.unmix is None:
        alike = np.broadcast_to(common[..., None], row_sums.shape)
        freedom = np.full(len(num), float(design.freedom))
        return Spreads(alike, np.full(row_sums.shape, np.nan), common, freedom, design.freedom)
    own = np.maximum(row_sums @ design.unmix.T, 0.0)
    # of few rows, much of a row's residuals is the other rows' errors, so its own variance is less certain
    own_freedom = np.maximum(num - 1.0, 0.0) * (min(1.0, (len(num) - 1) / 5) if blocks else 1.0)
    lent = min(LENT, float(num.max()) - 1.0, max(0.0, design.freedom - float(own_freedom.min())))
    variance = (lent * common[..., None] + own_freedom * own) / np.maximum(lent + own_freedom, 1e-300)
    return Spreads(variance, own, common, lent + own_freedom, design.freedom)


def contrast_error(spread: Spreads, weights: Array, num: int | Array) -> tuple[Array, Array]:
    """Return a contrast's standard error and degrees of freedom, each [...].

    Args:
        spread: of the table.
        weights: of the rows' means, [rows]; 0 for rows that it leaves out.
        num: seeds that each mean is taken over, one number or [rows].
    """
    parts = spread.variance * weights**2 / num
    total = parts.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = total**2 / (parts**2 / spread.row_freedom).sum(-1)
    return np.sqrt(total), np.minimum(np.nan_to_num(freedom, nan=1.0), spread.freedom)


@lru_cache(maxsize=512)
def _design(shape: tuple[int, int], present: bytes, blocks: bool) -> _Design:
    mask = np.frombuffer(present, dtype=bool).reshape(shape)
    rows, seeds = np.nonzero(mask)
    of_row = (rows[:, None] == np.arange(shape[0])).astype(float)
    terms = np.hstack([of_row, seeds[:, None] == np.arange(shape[1])]) if blocks else of_row
    residual = np.eye(len(rows)) - terms @ np.linalg.pinv(terms)
    freedom = round(float(np.trace(residual)))
    mixed = of_row.T @ residual**2 @ of_row  # how much of each row's variance is in each row's sum of squares
    known = np.linalg.cond(mixed) < 1e6 if freedom else False
    return _Design(residual, of_row, np.linalg.inv(mixed) if known else None, freedom)
