"""Estimates from several imputed data sets, as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from fastem.fitting.intervals import require_level
from fastem.given import floats


@dataclass(frozen=True, eq=False)
class Pooled:
    """An estimate, pooled from several imputed data sets.

    Attributes
    ----------
    estimate : ndarray
    standard_error : ndarray
        With what the imputed values leave uncertain.
    df : ndarray
        Degrees of freedom of a t-distribution of the estimate; infinite where nothing was missing.
    fraction_missing : ndarray
        The share of the information about the estimate that is missing.
    """

    estimate: np.ndarray
    standard_error: np.ndarray
    df: np.ndarray
    fraction_missing: np.ndarray

    def confidence_interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper limits of each estimate, taken alone.

        Parameters
        ----------
        level : float, default 0.95
        """
        require_level(level)
        reach = student.ppf(0.5 + 0.5 * level, self.df) * self.standard_error
        return self.estimate - reach, self.estimate + reach


def pool(estimates: Any, variances: Any) -> Pooled:
    """Pool the estimates from several imputed data sets, by Rubin's rules; see docs/missing.md.

    Parameters
    ----------
    estimates : array-like (M, ...)
        From each of M data sets.
    variances : array-like (M, ...)
        Squares of their standard errors, in the same shape.

    Returns
    -------
    pooled : Pooled
        `estimate`, `standard_error`, `df`, `fraction_missing`, and `confidence_interval(level)`.

    Raises
    ------
    ValueError
        For less than two estimates, another shape of variances, and what is no number or negative.

    References
    ----------
    Rubin (1987), *Multiple Imputation for Nonresponse in Surveys*, section 3.1.

    Examples
    --------
    >>> import fastem
    >>> pooled = fastem.pool([1.0, 1.2, 1.1, 0.9], [0.04, 0.04, 0.05, 0.05])
    >>> round(float(pooled.estimate), 2), round(float(pooled.standard_error), 2)
    (1.05, 0.26)
    """
    q, u = floats(estimates, "estimates"), floats(variances, "variances")
    if q.ndim == 0 or len(q) < 2 or q.shape != u.shape:
        raise ValueError(
            f"estimates and variances must have one shape, (M, ...) of at least two data sets; got {q.shape} and "
            f"{u.shape}."
        )
    if not (np.all(np.isfinite(q)) and np.all(np.isfinite(u)) and np.all(u >= 0.0)):
        raise ValueError("estimates and variances must be finite numbers, and variances not negative.")
    m = len(q)
    within, between = u.mean(axis=0), q.var(axis=0, ddof=1)
    total = within + (1.0 + 1.0 / m) * between
    of_missing = np.divide((1.0 + 1.0 / m) * between, total, out=np.zeros_like(total), where=total > 0.0)
    df = (m - 1) / np.square(np.maximum(of_missing, 1e-150))
    # Of few data sets the share itself is uncertain.
    fraction = np.where(of_missing > 0.0, of_missing + (1.0 - of_missing) * 2.0 / (df + 3.0), 0.0)
    return Pooled(q.mean(axis=0), np.sqrt(total), np.where(of_missing > 0.0, df, np.inf), fraction)
