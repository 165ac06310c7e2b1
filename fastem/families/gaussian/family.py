"""Normal rows: Gaussian components of any covariance structure, and normal columns as one of several kinds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from fastem.families._marginal import Marginal, normal_marginal
from fastem.families._value import require_fraction
from fastem.families.gaussian.float32 import float32_record
from fastem.families.gaussian.full import Grouped
from fastem.families.gaussian.gaps import count_missing
from fastem.families.gaussian.location_scatter import Covariance, LocationScatter, Records, records
from fastem.families.gaussian.matrices import LOG_2PI
from fastem.families.gaussian.moments import Pivoted
from fastem.passes.flags import block_function
from fastem.passes.pruning import NoPruning, Pruning, discriminant_axes, pruning_of

_HALF_LOG_2PI = 0.5 * LOG_2PI


def _blocks(structure: Covariance) -> tuple[Any, Any]:
    prepare, half_squares, add_moments = structure.prepare, structure.half_squares, structure.add_moments

    def log_prob_block(family_params, components, x, log_prob, scratch):
        log_norm = family_params.log_norm
        prepare(family_params, x, scratch)
        for a in range(components.shape[0]):
            k = components[a]
            # A covariance that all share has one norm.
            half_squares(family_params, k, log_norm[min(k, log_norm.shape[0] - 1)], x, log_prob[a], scratch)

    def accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
        n, sx, sxx = family_stats.n[lane], family_stats.sx[lane], family_stats.sxx[lane]
        add_moments(family_params.means, components, x, resp, scratch, n, sx, sxx)

    return log_prob_block, accumulate_block


def _blocks_with_gaps(structure: Covariance) -> tuple[Any, Any]:
    read_gaps, half_squares = structure.read_gaps, structure.half_squares_with_gaps
    add_moments = structure.add_moments_with_gaps
    log_prob_of_complete, accumulate_complete = map(block_function, _blocks(structure))

    def log_prob_block(family_params, components, x, log_prob, scratch):
        log_norm = family_params.log_norm
        # No structure needs the last lines for distances.
        log_root, n_missing = scratch[scratch.shape[0] - 1], scratch[scratch.shape[0] - 2]
        if not count_missing(x, n_missing):
            log_prob_of_complete(family_params, components, x, log_prob, scratch)
            return
        gaps = read_gaps(x)
        for a in range(components.shape[0]):
            k, line = components[a], log_prob[a]
            half_squares(family_params, k, gaps, line, log_root, scratch)
            top = log_norm[min(k, log_norm.shape[0] - 1)]
            for i in range(line.shape[0]):
                line[i] += top + (log_root[i] + _HALF_LOG_2PI * n_missing[i])

    def accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
        if not count_missing(x, scratch[0]):
            accumulate_complete(family_params, components, x, resp, scratch, family_stats, lane)
            return
        n, sx, sxx = family_stats.n[lane], family_stats.sx[lane], family_stats.sxx[lane]
        gaps = read_gaps(x)
        for a in range(components.shape[0]):
            one = components[a : a + 1]
            add_moments(family_params, one, gaps, resp[a], resp[a], scratch, n, n, sx, sxx)

    return log_prob_block, accumulate_block


def _records(covariance_type: str) -> Records:
    return records("Gaussian", __name__, covariance_type, _blocks, _blocks_with_gaps)


_FULL = GaussianFullParams, GaussianFullStats, GaussianFullGapsParams = _records("full")
_TIED = GaussianTiedParams, GaussianTiedStats, GaussianTiedGapsParams = _records("tied")
_DIAG = GaussianDiagParams, GaussianDiagStats, GaussianDiagGapsParams = _records("diag")
_SPHERICAL = GaussianSphericalParams, GaussianSphericalStats, GaussianSphericalGapsParams = _records("spherical")

GaussianFullFloat32Params, _full_in_float32 = float32_record("GaussianFullFloat32Params", __name__, "full")
GaussianDiagFloat32Params, _diag_in_float32 = float32_record("GaussianDiagFloat32Params", __name__, "diag")
GaussianSphericalFloat32Params, _spherical_in_float32 = float32_record(
    "GaussianSphericalFloat32Params", __name__, "spherical"
)
# With tied covariances, which are whitened once a block, there is little to gain.
_IN_FLOAT32 = {"full": _full_in_float32, "diag": _diag_in_float32, "spherical": _spherical_in_float32}


class Gaussian(LocationScatter):
    """Normal rows: the log-density is ``log_norm - d^2 / 2``, and all rows have the weight 1.

    The parameters are those of `Known`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem.families.gaussian.family import Gaussian
    >>> family = Gaussian(n_components=1, n_features=2, covariance_type="diag")
    >>> params = family.params(np.zeros((1, 2)), np.ones((1, 2)))
    >>> family.log_prob(params, np.zeros((1, 2))).round(3).tolist()
    [[-1.838]]
    """

    records: ClassVar[dict[str, Records]] = {"full": _FULL, "tied": _TIED, "diag": _DIAG, "spherical": _SPHERICAL}

    def log_density(self, params: Any, squares: np.ndarray) -> np.ndarray:
        return np.reshape(params.log_norm, (-1, 1)) - 0.5 * squares

    def marginal_of(self, means: np.ndarray, sds: np.ndarray) -> Marginal:
        return normal_marginal(means, sds)

    def expected_log_prob(self, params: Any, stats: Any) -> float:
        about_means = stats.about(params.means)
        traces = self.structure.traces(params, about_means.sxx)
        return float((stats.n * params.log_norm).sum() - 0.5 * traces.sum())

    def in_float32(self, params: Any) -> Any | None:
        convert = None if self.has_gaps else _IN_FLOAT32.get(self.covariance_type)
        return None if convert is None else convert(params)

    def pruning(self, params: Any, log_share: np.ndarray) -> Pruning | NoPruning:
        axes = discriminant_axes(params.means, self.structure.mean_matrix(params))
        peak = np.broadcast_to(params.log_norm, log_share.shape)
        return pruning_of(params.means, axes, self.projected(params, axes), peak, log_share)


@dataclass(frozen=True, eq=False, kw_only=True)
class GaussianGrouped(Gaussian):
    """Multivariate normal rows; `group_size` components that follow each other have one covariance matrix."""

    group_size: int = 1

    @property
    def structure(self) -> Grouped:
        return Grouped(self.group_size)


@dataclass(frozen=True, eq=False, repr=False)
class Normal(Gaussian):
    """Numbers with normal distributions, independent across columns. It shows `means_` and `variances_`.

    `GaussianMixture` has more to offer where all columns are normal: covariances, priors, fixed parameters.

    Parameters
    ----------
    floor : float, default 1e-10
        Least variance of a component, as a fraction of the variance of the data.

    Raises
    ------
    ValueError
        For a floor that is no fraction.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> from fastem.families import Categorical, Normal
    >>> random = np.random.default_rng(0)
    >>> group = np.repeat([0, 1], 500)
    >>> X = np.column_stack([random.normal(9.0 * group), random.integers(0, 3, 1000) + group])
    >>> mixture = Mixture([Normal(floor=1e-6), Categorical(4)], 2, random_state=0).fit(X)
    >>> np.sort(mixture.means_[:, 0]).round().astype(int).tolist()
    [0, 9]
    """

    covariance_type: str = field(default="diag", init=False)
    floor: float = 1e-10

    options: ClassVar[tuple[str, ...]] = ("floor",)

    def __post_init__(self) -> None:
        require_fraction("floor", self.floor)

    def with_data_scale(self, stats: Pivoted, floor_ratio: float | None = None) -> Self:
        return super().with_data_scale(stats, self.floor if floor_ratio is None else floor_ratio)

    def moments(self, params: Any) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances (K, D) of each column under each component."""
        return params.means, params.covariances

    def of_moments(self, means: np.ndarray, variances: np.ndarray) -> Any:
        """Parameters from what `moments` shows of them."""
        return self.params(means, variances)

    # What is shown has the names of columns: variances, in the place of covariances.

    def estimates(self, params: Any) -> dict[str, np.ndarray]:
        return _as_columns(super().estimates(params))

    def jvp(self, params: Any, tangents: np.ndarray) -> dict[str, np.ndarray]:
        return _as_columns(super().jvp(params, tangents))

    def scales(self) -> dict[str, np.ndarray]:
        return _as_columns(super().scales())


def _as_columns(shown: dict[str, Any]) -> dict[str, Any]:
    return {"means": shown["means"], "variances": shown["covariances"]}
