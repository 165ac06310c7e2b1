"""Degrees of freedom that are estimated: one number for all components of a t-distribution.

The derivative of a row's log-density by the degrees of freedom nu is half of ``pull``, and the next one about half of
``bend`` (Liu & Rubin 1995). Both are summed over rows, and an M-step makes one Newton step in log nu of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
from scipy.special import digamma, polygamma

from fastem._naming import named
from fastem.families._value import is_number
from fastem.families.gaussian.location_scatter import LocationScatter
from fastem.passes.rows import plain

# With fewer, a row on the location would weigh more than float64 can sum.
_LEAST_GIVEN = 0.01
# Below, the likelihood is unbounded around rows that agree; beyond, a t-distribution is normal.
_LEAST, _MOST = 0.5, 1e4
_AT_LIMIT = (
    "has, as all others, degrees of freedom at the limit of what they may be, 0.5 to 10000, where standard errors mean "
    "nothing. Give df."
)


def pulls_of(df: float, n_seen: np.ndarray) -> np.ndarray:
    """What `pull` has of a row of which so many features are there, besides log u - u."""
    half, total = 0.5 * df, 0.5 * (df + n_seen)
    return digamma(total) - np.log(total) - (digamma(half) - np.log(half)) + 1.0


def bends_of(df: float, n_seen: np.ndarray) -> np.ndarray:
    """What `bend` has of such a row, besides (1 - u)^2 / (df + p)."""
    total = df + n_seen
    return 0.5 * polygamma(1, 0.5 * total) - 1.0 / total - (0.5 * polygamma(1, 0.5 * df) - 1.0 / df)


class WithDegrees(LocationScatter):
    """What a t-distribution says of its degrees of freedom, given or free; a mix-in for `StudentT`."""

    df: float | None
    start_df: float
    # What the logarithm of a density's factor has, with so many features, besides that of a Gaussian.
    degrees_term: Callable[[Any], Any]

    def require_degrees(self) -> None:
        """Raise ValueError for degrees of freedom that cannot be."""
        if self.df is not None and (not is_number(self.df) or self.df < _LEAST_GIVEN):
            raise ValueError(
                f"{named('df')}={self.df!r} must be a finite number of at least {_LEAST_GIVEN:g} degrees of freedom; "
                "or None, to estimate them."
            )

    def _with(self, **degrees: float) -> Self:
        changes: Any = degrees
        return replace(self, **changes)

    @property
    def nu(self) -> float:
        """The degrees of freedom, as far as they are known."""
        return self.start_df if self.df is None else self.df

    @property
    def has_exact_m_step(self) -> bool:  # type: ignore[override]
        return self.df is not None

    def at(self, params: Any) -> Self:
        """This family where its degrees of freedom are those of parameters."""
        return self if self.df is not None else self._with(start_df=float(params.df[0]))

    def with_degrees(self, params: Any, df: float) -> Any:
        """Parameters with the same locations and scales, and other degrees of freedom, which are free."""
        before, after = self._with(start_df=float(params.df[0])), self._with(start_df=df)
        of_normal = params.log_norm - before.degrees_term(self.n_features)
        return params._replace(**{name: plain(field) for name, field in after.more_fields(of_normal).items()})

    def moved(self, stats: Any, params: Any) -> Self:
        """This family after a Newton step in log nu, from the parameters that the sums were taken at."""
        nu = float(params.df[0])
        if nu > 2.0 * _MOST:
            # Rows were read without weights, to find a scale.
            return self
        pull, bend = 0.5 * float(stats.pull.sum()), 0.5 * float(stats.bend.sum())
        slope, curve = nu * pull, nu * nu * bend + nu * pull
        # Where the curve is not that of a maximum, half a unit uphill.
        step = min(max(-slope / curve, -1.0), 1.0) if curve < 0.0 else 0.5 * float(np.sign(slope))
        return self._with(start_df=float(np.clip(nu * np.exp(step), _LEAST, _MOST)))

    # What reads parameters reads their degrees of freedom.

    def log_prob(self, params: Any, X: np.ndarray) -> np.ndarray:
        return super(WithDegrees, self.at(params)).log_prob(params, X)

    def sample(self, params: Any, component: int, n_rows: int, random: np.random.Generator) -> np.ndarray:
        return super(WithDegrees, self.at(params)).sample(params, component, n_rows, random)

    def completed(
        self, params: Any, component: int, X: np.ndarray, random: np.random.Generator | None = None
    ) -> np.ndarray:
        return super(WithDegrees, self.at(params)).completed(params, component, X, random)

    def conditional_covariances(self, params: Any, component: int, X: np.ndarray) -> np.ndarray:
        return super(WithDegrees, self.at(params)).conditional_covariances(params, component, X)

    def marginal(self, params: Any, column: int) -> Any:
        return super(WithDegrees, self.at(params)).marginal(params, column)

    def rebuilt(self, params: Any) -> Any:
        if self.df is None and not _LEAST <= params.df[0] <= _MOST:
            raise ValueError(f"df must be from {_LEAST:g} to {_MOST:g}.")
        return super(WithDegrees, self.at(params)).rebuilt(params)

    def stats_of(self, params: Any, n: np.ndarray) -> Any:
        stats = super().stats_of(params, n)
        if self.df is not None:
            return stats
        nu, d = float(params.df[0]), self.n_features
        spread = (nu + d) / nu * (nu + 2.0) / (nu + d + 2.0) - 1.0
        return stats._replace(bend=n * (spread / (nu + d) + float(bends_of(nu, np.array([float(d)]))[0])))

    # Its coordinate, its tangent, and what is shown of it.

    def n_parameters(self) -> int:
        return super().n_parameters() + (self.df is None)

    def to_unconstrained(self, params: Any) -> np.ndarray:
        point = super().to_unconstrained(params)
        return point if self.df is not None else np.append(point, np.log(params.df[0]))

    def from_unconstrained(self, point: np.ndarray) -> Any:
        if self.df is not None:
            return super().from_unconstrained(point)
        # The logarithm of a limit need not lead back to it.
        nu = float(np.clip(np.exp(min(point[-1], 100.0)), _LEAST, _MOST))
        return super(WithDegrees, self._with(start_df=nu)).from_unconstrained(point[:-1])

    def estimates(self, params: Any) -> dict[str, Any]:
        shown = super().estimates(params)
        return shown if self.df is not None else {**shown, "df": params.df.copy()}

    def gradients(self, params: Any, X: np.ndarray, resp: np.ndarray) -> np.ndarray:
        own = self.at(params)
        gradients = super(WithDegrees, own).gradients(params, X, resp)
        if self.df is not None:
            return gradients
        n_seen = self.n_features - np.isnan(X).sum(axis=1)
        offsets = X - params.means[:, None, :]
        self._fill_in(params, offsets, int(self.n_features - n_seen.min(initial=self.n_features)))
        u = own.weights(np.moveaxis(self.structure.whitened(params, offsets), 0, 1), n_seen)[:, :, 0]
        pull = np.log(u) - u + pulls_of(own.nu, n_seen.astype(np.float64))[:, None]
        return np.concatenate([gradients, 0.5 * own.nu * (resp * pull).sum(axis=1, keepdims=True)], axis=1)

    def gradient(self, params: Any, stats: Any) -> np.ndarray:
        gradient = super().gradient(params, stats)
        return gradient if self.df is not None else np.append(gradient, 0.5 * params.df[0] * stats.pull.sum())

    def jvp(self, params: Any, tangents: np.ndarray) -> dict[str, Any]:
        if self.df is not None:
            return super().jvp(params, tangents)
        return {**super().jvp(params, tangents[:, :-1]), "df": params.df * tangents[:, -1:]}

    def at_tangent(self, params: Any, tangent: np.ndarray) -> Any:
        if self.df is not None:
            return super().at_tangent(params, tangent)
        nu = float(params.df[0] * np.exp(tangent[-1]))
        plain = self._with(df=nu, start_df=nu)
        moved = super(WithDegrees, plain).at_tangent(params, tangent[:-1])
        return self.with_degrees(moved, nu)

    def tangent_components(self) -> np.ndarray:
        found = super().tangent_components()
        return found if self.df is not None else np.append(found, -1)

    def free_tangents(self) -> np.ndarray:
        if self.df is not None:
            return super().free_tangents()
        fixed = self._with(df=self.start_df)
        return np.append(super(WithDegrees, fixed).free_tangents(), True)

    def scales(self) -> dict[str, Any]:
        scales = super().scales()
        return scales if self.df is not None else {**scales, "df": np.array(["log"])}

    def at_boundary(self, params: Any) -> list[tuple[int, str]]:
        wrong = super().at_boundary(params)
        is_at_limit = self.df is None and not _LEAST * (1.0 + 1e-6) < params.df[0] < _MOST * (1.0 - 1e-6)
        return [*wrong, (0, _AT_LIMIT)] if is_at_limit else wrong
