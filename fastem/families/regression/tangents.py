"""Derivatives of the log-densities of regressions, with respect to tangents of the parameters.

A tangent moves the linear predictor at the centre, and that of a row one standard deviation of a covariate away, by the
response's own unit; and the logarithm of the dispersion.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.families.regression.response import Response

_COLLAPSED = (
    "has responses that its covariates explain without a rest, where standard errors mean nothing. Fit with fewer "
    "components, or with prior_weight=1."
)


class RegressionTangents(Response):
    """What regressions say of tangents; a mix-in for `Regression`.

    The order of tangents: component by component, its coefficients, then its dispersion.
    """

    def units(self, params: Any) -> np.ndarray:
        """By how much (K, 1 + P) tangents of one move coefficients."""
        scale = np.sqrt(params.dispersion) if self.is_linear else np.ones_like(params.dispersion)
        return scale[:, None] / np.concatenate([[1.0], self.covariate_scale()])

    def _joined(self, coefficients: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
        parts = [coefficients, dispersion[..., None]] if self.has_dispersion else [coefficients]
        joined = np.concatenate(parts, axis=-1)
        return joined.reshape(*joined.shape[:-2], -1)

    def _split(self, tangents: np.ndarray, params: Any) -> tuple[np.ndarray, np.ndarray]:
        """Tangents (..., P) as those of coefficients and of the logarithms of dispersions."""
        each = tangents.reshape(*tangents.shape[:-1], self.n_components, -1)
        q = params.values.shape[1]
        return each[..., :q], each[..., q] if self.has_dispersion else np.zeros(each.shape[:-1])

    def gradients(self, params: Any, X: np.ndarray, resp: np.ndarray) -> np.ndarray:
        pull, loss, x = self.pulls(params, X)
        seen = resp * ~np.isnan(pull)
        pull, loss = np.nan_to_num(pull), np.nan_to_num(loss)
        by_values = (seen * pull / params.dispersion)[:, :, None] * x * self.units(params)
        return self._joined(by_values, self._by_dispersion(params, seen * loss, seen))

    def gradient(self, params: Any, stats: Any) -> np.ndarray:
        by_values = stats.score / params.dispersion[:, None] * self.units(params)
        return self._joined(by_values, self._by_dispersion(params, stats.loss, stats.n))

    def _by_dispersion(self, params: Any, loss: np.ndarray, n: np.ndarray) -> np.ndarray:
        if not self.has_dispersion:
            return np.zeros_like(n)
        return self.dispersion_gradient(params.dispersion, loss, n)

    def at_tangent(self, params: Any, tangent: np.ndarray) -> Any:
        step, log_ratio = self._split(tangent, params)
        values = params.values + step * self.units(params)
        return self.record(self.centre_of(params), values, params.dispersion * np.exp(log_ratio))

    def jvp(self, params: Any, tangents: np.ndarray) -> dict[str, Any]:
        step, log_ratio = self._split(tangents, params)
        step = step * self.units(params)
        coef = step[..., 1:]
        changes = {"coef": coef, "intercept": step[..., 0] - (coef * self.centre_of(params)).sum(axis=-1)}
        if self.has_dispersion:
            shown = self.shown_dispersion(params.dispersion)
            sign = 1.0 if self.is_linear else -1.0
            changes[self.spread_name] = sign * shown * log_ratio
        return changes

    def free_tangents(self) -> np.ndarray:
        return np.ones(self.n_parameters(), dtype=bool)

    def tangent_components(self) -> np.ndarray:
        return np.repeat(np.arange(self.n_components), self.n_parameters() // self.n_components)

    def gradient_rounding(self, params: Any) -> float:
        return float(np.finfo(np.float64).eps)

    def scales(self) -> dict[str, Any]:
        k = self.n_components
        scales = {"coef": np.full((k, self.n_covariates), "identity"), "intercept": np.full(k, "identity")}
        return scales | ({self.spread_name: np.full(k, "log")} if self.has_dispersion else {})

    def at_boundary(self, params: Any) -> list[tuple[int, str]]:
        near = params.dispersion * (1.0 - 1e-6)
        wrong = self.bounded(near) > near
        return [(int(k), _COLLAPSED) for k in np.flatnonzero(wrong)]
