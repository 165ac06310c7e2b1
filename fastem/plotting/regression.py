"""Responses and the regressions of a mixture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

from fastem.plotting.drawable import spread
from fastem.plotting.style import axes_or_new, component_label, component_style, finished

_MOST_POINTS = 5000
_POINTS_OF_LINE = 200


def plot_regression(
    regression: Any, X: Any, y: Any, feature: int | str = 0, ax: Axes | None = None, *, size: Any = None
) -> Axes:
    """Draw responses over one covariate, in the colours of their components, and the regression of each component.

    Parameters
    ----------
    regression : fitted RegressionMixture
    X : array-like (N, P), or data frame
    y : array-like (N,)
    feature : int or str, default 0
        The covariate, by its index or its name. All others are held at their means in the lines.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    size : array-like (N,), optional
        Exposures or trials: the responses drawn are those of size one.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For a covariate that is not there.
    MissingExtraError
        Without matplotlib.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import RegressionMixture
    >>> random = np.random.default_rng(0)
    >>> x = random.uniform(0, 10, (300, 1))
    >>> y = np.where(random.random(300) < 0.5, x[:, 0], 10.0 - x[:, 0]) + random.normal(size=300)
    >>> ax = RegressionMixture(2, random_state=0).fit(x, y).plot(x, y)
    >>> ax.figure.savefig("regression.png")
    """
    names = list(getattr(regression, "feature_names_in_", ()))
    place = names.index(feature) if feature in names else feature
    if not isinstance(place, int | np.integer) or not 0 <= place < regression.n_features_in_:
        known = f", or a name out of {names}" if names else ""
        raise ValueError(f"feature must be an index from 0 to {regression.n_features_in_ - 1}{known}; got {feature!r}.")
    labels = regression.predict_component(X, y, size=size)
    covariates = X.to_numpy(dtype=np.float64) if hasattr(X, "to_numpy") else np.asarray(X, dtype=np.float64)
    responses = np.asarray(y, dtype=np.float64) / (1.0 if size is None else np.asarray(size, dtype=np.float64))
    ax = axes_or_new(ax)
    rows = spread(len(covariates), _MOST_POINTS)
    line = np.tile(covariates.mean(axis=0), (_POINTS_OF_LINE, 1))
    line[:, place] = np.linspace(covariates[:, place].min(), covariates[:, place].max(), _POINTS_OF_LINE)
    # By position: the model may have been fitted to names.
    family, params = regression.mixture_._model.family, regression.mixture_._params.family
    means = family.expected(params, line)
    for k in range(len(regression.weights_)):
        style, mine = component_style(k), rows[labels[rows] == k]
        ax.plot(covariates[mine, place], responses[mine], ".", color=style["color"], markersize=3, alpha=0.5)
        label = component_label(k, regression.weights_)
        ax.plot(line[:, place], means[:, k], linewidth=1.8, label=label, **style)
    name = str(names[place]) if names else f"feature {place}"
    ax.set(xlabel=name, ylabel=str(getattr(y, "name", None) or ("response" if size is None else "response per unit")))
    return finished(ax)
