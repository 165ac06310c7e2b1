"""Student-t components, of given degrees of freedom and any covariance structure.

A row of a t-distribution is a Gaussian one whose covariance is divided by a hidden scale of its own. Given the row the
scale is expected to be u = (df + D) / (df + d^2), where d is the row's distance from the location, in scales: rows far
out weigh little, so that they do not move the parameters. The hidden scale belongs to the family, and EM to both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scipy.special import betaln, gammaln

from fastem._naming import named
from fastem.families._marginal import Marginal, student_marginal
from fastem.families._value import is_number
from fastem.families.gaussian.gaps import count_missing
from fastem.families.gaussian.location_scatter import Covariance, LocationScatter, Records, records
from fastem.families.gaussian.matrices import LOG_2PI
from fastem.families.gaussian.tiles import sum_block
from fastem.passes.flags import block_function
from fastem.passes.vector_math import log1p_nonnegative, log_positive
from fastem.stats import Repair

# Of so many degrees of freedom a t-distribution is normal to rounding, wherever a row lies.
_NORMAL = 1e300
# With fewer degrees, the rounding of 1 + d^2 / df is nothing next to the log-density: half a part in 10^12.
_MANY = 1e4
# With fewer, a row on the location would weigh more than float64 can sum.
_LEAST_DF = 0.01


@block_function
def _log_density(top, df, n_features, line):
    """Minus half the squared distances become log-densities."""
    slope, scale = -0.5 * (df + n_features), -2.0 / df
    if df < _MANY:
        for i in range(line.shape[0]):
            line[i] = top + slope * log_positive(1.0 + scale * line[i])
        return
    for i in range(line.shape[0]):
        line[i] = top + slope * log1p_nonnegative(scale * line[i])


@block_function
def _weigh(df, n_features, line, resp):
    """Multiply responsibilities by u."""
    for i in range(line.shape[0]):
        resp[i] *= (df + n_features) / (df - 2.0 * line[i])


def _blocks(structure: Covariance) -> tuple[Any, Any]:
    prepare, half_squares, add_moments = structure.prepare, structure.half_squares, structure.add_moments

    def log_prob_block(family_params, components, x, log_prob, scratch):
        log_norm, df = family_params.log_norm, family_params.df[0]
        prepare(family_params, x, scratch)
        for a in range(components.shape[0]):
            k = components[a]
            half_squares(family_params, k, 0.0, x, log_prob[a], scratch)
            _log_density(log_norm[min(k, log_norm.shape[0] - 1)], df, x.shape[0], log_prob[a])

    def accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
        n, u, df = family_stats.n[lane], family_stats.u[lane], family_params.df[0]
        # No structure needs the last line for distances.
        line = scratch[scratch.shape[0] - 1]
        prepare(family_params, x, scratch)
        for a in range(components.shape[0]):
            n[components[a]] += sum_block(resp[a])
            half_squares(family_params, components[a], 0.0, x, line, scratch)
            _weigh(df, x.shape[0], line, resp[a])
        sx, sxx = family_stats.sx[lane], family_stats.sxx[lane]
        add_moments(family_params.means, components, x, resp, scratch, u, sx, sxx)

    return log_prob_block, accumulate_block


def _blocks_with_gaps(structure: Covariance) -> tuple[Any, Any]:
    read_gaps, half_squares = structure.read_gaps, structure.half_squares_with_gaps
    add_moments = structure.add_moments_with_gaps
    log_prob_of_complete, accumulate_complete = map(block_function, _blocks(structure))

    def log_prob_block(family_params, components, x, log_prob, scratch):
        log_norm, df = family_params.log_norm, family_params.df[0]
        log_root, n_missing = scratch[scratch.shape[0] - 1], scratch[scratch.shape[0] - 2]
        if not count_missing(x, n_missing):
            log_prob_of_complete(family_params, components, x, log_prob, scratch)
            return
        gaps = read_gaps(x)
        for a in range(components.shape[0]):
            k, line = components[a], log_prob[a]
            half_squares(family_params, k, gaps, line, log_root, scratch)
            top = log_norm[min(k, log_norm.shape[0] - 1)]
            _log_density_of_seen(top, df, family_params.gain, x.shape[0], n_missing, log_root, line)

    def accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
        log_root, n_missing = scratch[scratch.shape[0] - 1], scratch[scratch.shape[0] - 2]
        line, weighted = scratch[scratch.shape[0] - 3], scratch[scratch.shape[0] - 4]
        if not count_missing(x, n_missing):
            accumulate_complete(family_params, components, x, resp, scratch, family_stats, lane)
            return
        n, u, df, gaps = family_stats.n[lane], family_stats.u[lane], family_params.df[0], read_gaps(x)
        sx, sxx = family_stats.sx[lane], family_stats.sxx[lane]
        for a in range(components.shape[0]):
            k = components[a]
            half_squares(family_params, k, gaps, line, log_root, scratch)
            for i in range(line.shape[0]):
                weighted[i] = resp[a, i] * ((df + (x.shape[0] - n_missing[i])) / (df - 2.0 * line[i]))
            n[k] += sum_block(resp[a])
            one = components[a : a + 1]
            add_moments(family_params, one, gaps, resp[a], weighted, scratch, n, u, sx, sxx)

    return log_prob_block, accumulate_block


@block_function
def _log_density_of_seen(top, df, gain, n_features, n_missing, log_root, line):
    """As `_log_density`, for rows of which so many features are missing; `gain` (D + 1,) is what these leave out."""
    scale = -2.0 / df
    for i in range(line.shape[0]):
        slope = -0.5 * (df + (n_features - n_missing[i]))
        more = log_root[i] + gain[np.int64(n_missing[i])]
        line[i] = top + (more + slope * log1p_nonnegative(scale * line[i]))


def _records(covariance_type: str) -> Records:
    return records("StudentT", __name__, covariance_type, _blocks, _blocks_with_gaps, more=("df",), by_count=("gain",))


_FULL = StudentTFullParams, StudentTFullStats, StudentTFullGapsParams = _records("full")
_TIED = StudentTTiedParams, StudentTTiedStats, StudentTTiedGapsParams = _records("tied")
_DIAG = StudentTDiagParams, StudentTDiagStats, StudentTDiagGapsParams = _records("diag")
_SPHERICAL = StudentTSphericalParams, StudentTSphericalStats, StudentTSphericalGapsParams = _records("spherical")


@dataclass(frozen=True, eq=False, repr=False)
class StudentT(LocationScatter):
    """Rows of a multivariate t-distribution: a Gaussian with heavier tails, whose fit far rows hardly move.

    Parameters
    ----------
    df : float, default 4.0
        Degrees of freedom, the same for all components, at least 0.01. The fewer, the heavier the tails: 1 is
        Cauchy's distribution, and thousands are nearly Gaussian.
    covariance_type : {"full", "tied", "diag", "spherical"}, default "full"
        Structure of the scale matrices, as of the covariances of a `GaussianMixture`.

    Notes
    -----
    `Mixture(StudentT(df=4.0), n_components)` and `HMM(StudentT(df=4.0), n_components)` fit it. `means_` are the
    locations (K, D) and `covariances_` the scale matrices; for df > 2 the covariances of the rows are these,
    times df / (df - 2). With independent features ("diag", "spherical") the rows still share one hidden scale: the
    columns are uncorrelated, not independent.

    Without a prior the scale matrices are divided by the sum of the weights, not by the number of rows: the fixed
    points are those of EM, and no iteration gains less (Kent, Tyler & Vardi 1994; Liu, Rubin & Wu 1998).

    Raises
    ------
    ValueError
        For degrees of freedom or a covariance type that cannot be.

    References
    ----------
    Peel & McLachlan (2000), *Robust mixture modelling using the t distribution*, Statistics and Computing 10, 339-348;
    Kent, Tyler & Vardi (1994), *A curious likelihood identity for the multivariate t-distribution*, Commun. Statist.
    Simulation 23, 441-453; Liu, Rubin & Wu (1998), *Parameter expansion to accelerate EM*, Biometrika 85, 755-770.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import StudentT
    >>> random = np.random.default_rng(0)
    >>> rows = np.concatenate([random.normal(5, 1, 500), random.normal(14, 1, 500), [400.0, -700.0]])
    >>> mixture = Mixture(StudentT(df=3.0), n_components=2, random_state=0).fit(rows[:, None])
    >>> np.sort(mixture.means_[:, 0]).round().tolist()
    [5.0, 14.0]
    """

    df: float = 4.0

    options: ClassVar[tuple[str, ...]] = ("df", "covariance_type")
    records: ClassVar[dict[str, Records]] = {"full": _FULL, "tied": _TIED, "diag": _DIAG, "spherical": _SPHERICAL}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_number(self.df) or self.df < _LEAST_DF:
            raise ValueError(
                f"{named('df')}={self.df!r} must be a finite number of at least {_LEAST_DF:g} degrees of freedom."
            )

    def log_density(self, params: Any, squares: np.ndarray) -> np.ndarray:
        power = -0.5 * (self.df + self.n_features)
        return np.reshape(params.log_norm, (-1, 1)) + power * np.log1p(squares / self.df)

    def weights(self, white: np.ndarray, n_seen: np.ndarray) -> np.ndarray:
        return (self.df + n_seen[:, None, None]) / (self.df + np.square(white).sum(axis=2, keepdims=True))

    def noise(self, n_rows: int, random: np.random.Generator) -> np.ndarray:
        return super().noise(n_rows, random) / np.sqrt(random.chisquare(self.df, (n_rows, 1)) / self.df)

    def conditional_variance(self, squares: np.ndarray, n_seen: int) -> np.ndarray:
        df = self.df + n_seen
        return (self.df + squares) / (df - 2.0) if df > 2.0 else np.full(len(squares), np.inf)

    def conditional_scale(self, squares: np.ndarray, n_seen: int, random: np.random.Generator) -> np.ndarray:
        # Given what is there, the rest has a t-distribution, too, of more degrees of freedom (Ding 2016).
        return np.sqrt((self.df + squares) / random.chisquare(self.df + n_seen, len(squares)))

    def marginal_of(self, means: np.ndarray, sds: np.ndarray) -> Marginal:
        return student_marginal(means, sds, self.df)

    def more_fields(self, log_norm: np.ndarray) -> dict[str, np.ndarray]:
        fields = {"log_norm": log_norm + self._log_norm(self.n_features), "df": np.array([float(self.df)])}
        if self.has_gaps:
            n_seen = np.arange(self.n_features, -1.0, -1.0)
            of_seen = self._log_norm(np.maximum(n_seen, 1.0)) - 0.5 * LOG_2PI * n_seen
            of_seen[-1] = 0.0
            fields["gain"] = of_seen - of_seen[0]
        return fields

    def _log_norm(self, n_features: Any) -> Any:
        """What the logarithm of a density's factor has, with so many features, besides that of a Gaussian."""
        half = 0.5 * n_features
        # The beta function, since a difference of gamma functions has no digits left where there are many degrees.
        return gammaln(half) - betaln(0.5 * self.df, half) + half * np.log(2.0 / self.df)

    def neutral_params(self, centre: np.ndarray) -> Any:
        """Rows of equal weight, whatever the scale of the data."""
        return super(StudentT, replace(self, df=_NORMAL)).neutral_params(centre)

    def m_step(self, stats: Any, params: Any) -> tuple[Any, list[Repair]]:
        """Locations and scale matrices of rows that are weighted, at least the floor."""
        if not np.any(stats.scatter_rows):
            # As if the mean of the hidden scales were free: see the notes of the class.
            found, repairs = super().m_step(stats._replace(n=stats.u), params)
            if not repairs:
                return found, repairs
        return super().m_step(stats, params)
