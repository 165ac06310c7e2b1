"""Student-t components, of given degrees of freedom and any covariance structure.

A row of a t-distribution is a Gaussian one whose covariance is divided by a hidden scale of its own. Given the row the
scale is expected to be u = (df + D) / (df + d^2), where d is the row's distance from the location, in scales: rows far
out weigh little, so that they do not move the parameters. The hidden scale belongs to the family, and EM to both.

Degrees of freedom that are not given take one Newton step in each M-step, on sums of the same pass (see `student_df`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from scipy.special import betaln, gammaln

from fastem.families._marginal import Marginal, student_marginal
from fastem.families.gaussian.gaps import count_missing
from fastem.families.gaussian.location_scatter import Covariance, LocationScatter, Records, records
from fastem.families.gaussian.matrices import LOG_2PI
from fastem.families.gaussian.student_df import WithDegrees, bends_of, pulls_of
from fastem.families.gaussian.tiles import sum_block
from fastem.passes.flags import block_function
from fastem.passes.vector_math import log1p_nonnegative, log_positive
from fastem.stats import Repair

# Of so many degrees of freedom a t-distribution is normal to rounding, wherever a row lies.
_NORMAL = 1e300
# With fewer degrees, the rounding of 1 + d^2 / df is nothing next to the log-density: half a part in 10^12.
_MANY = 1e4


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


@block_function
def _learn_df(df, n_features, line, resp):
    """What rows say of the degrees of freedom: sums of ``resp * (log u - u)`` and ``resp * (1 - u)^2 / (df + D)``."""
    pull, bend, total = 0.0, 0.0, df + n_features
    for i in range(line.shape[0]):
        u = total / (df - 2.0 * line[i])
        pull += resp[i] * (log_positive(u) - u)
        bend += resp[i] * ((1.0 - u) * (1.0 - u))
    return pull, bend / total


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
            k, total = components[a], sum_block(resp[a])
            n[k] += total
            half_squares(family_params, k, 0.0, x, line, scratch)
            if family_params.is_free[0] > 0.0:
                pull, bend = _learn_df(df, x.shape[0], line, resp[a])
                family_stats.pull[lane, k] += pull + total * family_params.pull_base[0]
                family_stats.bend[lane, k] += bend + total * family_params.bend_base[0]
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
            if family_params.is_free[0] > 0.0:
                pull, bend = _learn_df_of_seen(family_params, n_missing, line, resp[a])
                family_stats.pull[lane, k] += pull
                family_stats.bend[lane, k] += bend
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


@block_function
def _learn_df_of_seen(family_params, n_missing, line, resp):
    """As `_learn_df`, for rows of which so many features are missing, and with what their number adds."""
    df, n_features = family_params.df[0], family_params.means.shape[1]
    pull, bend = 0.0, 0.0
    for i in range(line.shape[0]):
        total, p = df + (n_features - n_missing[i]), np.int64(n_missing[i])
        u = total / (df - 2.0 * line[i])
        pull += resp[i] * (log_positive(u) - u + family_params.pulls[p])
        bend += resp[i] * ((1.0 - u) * (1.0 - u) / total + family_params.bends[p])
    return pull, bend


def _records(covariance_type: str) -> Records:
    return records(
        "StudentT", __name__, covariance_type, _blocks, _blocks_with_gaps,
        more=("df", "is_free", "pull_base", "bend_base"), by_count=("gain", "pulls", "bends"),
        learnt=("u", "pull", "bend"),
    )  # fmt: skip


_FULL = StudentTFullParams, StudentTFullStats, StudentTFullGapsParams = _records("full")
_TIED = StudentTTiedParams, StudentTTiedStats, StudentTTiedGapsParams = _records("tied")
_DIAG = StudentTDiagParams, StudentTDiagStats, StudentTDiagGapsParams = _records("diag")
_SPHERICAL = StudentTSphericalParams, StudentTSphericalStats, StudentTSphericalGapsParams = _records("spherical")


@dataclass(frozen=True, eq=False, repr=False)
class StudentT(WithDegrees, LocationScatter):
    """Rows of a multivariate t-distribution: a Gaussian with heavier tails, whose fit far rows hardly move.

    Parameters
    ----------
    df : float or None, default 4.0
        Degrees of freedom, the same for all components, at least 0.01. The fewer, the heavier the tails: 1 is
        Cauchy's distribution, and thousands are nearly Gaussian. None: they are estimated, between 0.5 and 10 000, and
        shown as `df_`.
    covariance_type : {"full", "tied", "diag", "spherical"}, default "full"
        Structure of the scale matrices, as of the covariances of a `GaussianMixture`.

    Notes
    -----
    `Mixture(StudentT(df=4.0), n_components)` and `HMM(StudentT(df=4.0), n_components)` fit it. `means_` are the
    locations (K, D) and `covariances_` the scale matrices; for df > 2 the covariances of the rows are these,
    times df / (df - 2). With independent features ("diag", "spherical") the rows still share one hidden scale: the
    columns are uncorrelated, not independent.

    Without a prior the scale matrices are divided by the sum of the weights, not by the number of rows: the fixed
    points are those of EM, and no iteration gains less (Kent, Tyler & Vardi 1994; Liu, Rubin & Wu 1998). Degrees of
    freedom are not below 0.5: the likelihood is unbounded around rows that agree.

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

    df: float | None = 4.0
    # Where degrees of freedom that are free stand now.
    start_df: float = field(default=8.0, repr=False)

    options: ClassVar[tuple[str, ...]] = ("df", "covariance_type")
    records: ClassVar[dict[str, Records]] = {"full": _FULL, "tied": _TIED, "diag": _DIAG, "spherical": _SPHERICAL}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_degrees()

    def log_density(self, params: Any, squares: np.ndarray) -> np.ndarray:
        power = -0.5 * (self.nu + self.n_features)
        return np.reshape(params.log_norm, (-1, 1)) + power * np.log1p(squares / self.nu)

    def weights(self, white: np.ndarray, n_seen: np.ndarray) -> np.ndarray:
        return (self.nu + n_seen[:, None, None]) / (self.nu + np.square(white).sum(axis=2, keepdims=True))

    def noise(self, n_rows: int, random: np.random.Generator) -> np.ndarray:
        return super().noise(n_rows, random) / np.sqrt(random.chisquare(self.nu, (n_rows, 1)) / self.nu)

    def conditional_variance(self, squares: np.ndarray, n_seen: int) -> np.ndarray:
        df = self.nu + n_seen
        return (self.nu + squares) / (df - 2.0) if df > 2.0 else np.full(len(squares), np.inf)

    def conditional_scale(self, squares: np.ndarray, n_seen: int, random: np.random.Generator) -> np.ndarray:
        # Given what is there, the rest has a t-distribution, too, of more degrees of freedom (Ding 2016).
        return np.sqrt((self.nu + squares) / random.chisquare(self.nu + n_seen, len(squares)))

    def marginal_of(self, means: np.ndarray, sds: np.ndarray) -> Marginal:
        return student_marginal(means, sds, self.nu)

    def more_fields(self, log_norm: np.ndarray) -> dict[str, np.ndarray]:
        d = float(self.n_features)
        fields = {
            "log_norm": log_norm + self.degrees_term(self.n_features),
            "df": np.array([float(self.nu)]),
            "is_free": np.array([float(self.df is None)]),
            "pull_base": pulls_of(self.nu, np.array([d])),
            "bend_base": bends_of(self.nu, np.array([d])),
        }
        if self.has_gaps:
            n_seen = np.arange(self.n_features, -1.0, -1.0)
            fields |= {"pulls": pulls_of(self.nu, n_seen), "bends": bends_of(self.nu, n_seen)}
            of_seen = self.degrees_term(np.maximum(n_seen, 1.0)) - 0.5 * LOG_2PI * n_seen
            of_seen[-1] = 0.0
            fields["gain"] = of_seen - of_seen[0]
        return fields

    def degrees_term(self, n_features: Any) -> Any:
        """What the logarithm of a density's factor has, with so many features, besides that of a Gaussian."""
        half = 0.5 * n_features
        # The beta function, since a difference of gamma functions has no digits left where there are many degrees.
        return gammaln(half) - betaln(0.5 * self.nu, half) + half * np.log(2.0 / self.nu)

    def neutral_params(self, centre: np.ndarray) -> Any:
        """Rows of equal weight, whatever the scale of the data."""
        return super(StudentT, replace(self, df=_NORMAL)).neutral_params(centre)

    def m_step(self, stats: Any, params: Any) -> tuple[Any, list[Repair]]:
        """Locations and scale matrices of rows that are weighted, at least the floor; and degrees of freedom."""
        if self.df is None:
            return self.moved(stats, params)._step(stats, params)
        return self._step(stats, params)

    def _step(self, stats: Any, params: Any) -> tuple[Any, list[Repair]]:
        if not np.any(stats.scatter_rows):
            # As if the mean of the hidden scales were free: see the notes of the class.
            found, repairs = super().m_step(stats._replace(n=stats.u), params)
            if not repairs:
                return found, repairs
        return super().m_step(stats, params)
