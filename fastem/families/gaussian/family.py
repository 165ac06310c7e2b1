"""Gaussian components of any covariance structure."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastem.families._marginal import Marginal, normal_marginal
from fastem.families.gaussian.location_scatter import Covariance, LocationScatter, Records, records
from fastem.passes.pruning import NoPruning, Pruning, discriminant_axes, pruning_of


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


_FULL = GaussianFullParams, GaussianFullStats = records("Gaussian", __name__, "full", _blocks)
_TIED = GaussianTiedParams, GaussianTiedStats = records("Gaussian", __name__, "tied", _blocks)
_DIAG = GaussianDiagParams, GaussianDiagStats = records("Gaussian", __name__, "diag", _blocks)
_SPHERICAL = GaussianSphericalParams, GaussianSphericalStats = records("Gaussian", __name__, "spherical", _blocks)


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
        """Sum of the log-densities, in nats, that rows of these statistics have under the components they belong to."""
        about_means = stats.about(params.means)
        traces = self.structure.traces(params, about_means.sxx)
        return float((stats.n * params.log_norm).sum() - 0.5 * traces.sum())

    def pruning(self, params: Any, log_share: np.ndarray) -> Pruning | NoPruning:
        """What lets a pass leave out components that none of its rows can reach (see `fastem.passes.pruning`)."""
        axes = discriminant_axes(params.means, self.structure.mean_matrix(params))
        peak = np.broadcast_to(params.log_norm, log_share.shape)
        return pruning_of(params.means, axes, self.projected(params, axes), peak, log_share)
