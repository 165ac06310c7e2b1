"""A transformer that fills in missing values by a mixture."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils._param_validation import HasMethods, StrOptions, validate_parameter_constraints
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from fastem.estimators._em import BaseEM
from fastem.estimators.gaussian_mixture import GaussianMixture
from fastem.fitting.imputing import METHODS


class Imputer(TransformerMixin, BaseEstimator):
    """Fill in missing values by a mixture that is fitted to the rows, in the place of scikit-learn's imputers.

    Parameters
    ----------
    estimator : mixture, optional
        What is fitted: `GaussianMixture(5)`, `Mixture(["normal", "categorical"])`. By default one normal distribution
        of all columns, `GaussianMixture()`.
    method : {"mean", "draw", "mode"}, default "mean"
        As of `GaussianMixture.impute`. Draws follow the `random_state` of the estimator.
    add_indicator : bool, default False
        Whether columns follow that tell what was missing, one for each column that missed values in `fit`: a remedy
        where that itself says something.

    Attributes
    ----------
    estimator_ : mixture
        As it was fitted.
    missing_features_ : (M,) int64 ndarray
        The columns that missed values in `fit`.
    n_features_in_, feature_names_in_
        As of scikit-learn's estimators.

    Raises
    ------
    ValueError
        From `fit`, for unusable settings or rows, and for columns without any value.

    See Also
    --------
    sklearn.impute.IterativeImputer, sklearn.impute.KNNImputer

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Imputer
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> random = np.random.default_rng(0)
    >>> X = random.normal(size=(500, 1)) + 0.1 * random.normal(size=(500, 3))
    >>> y = X.sum(axis=1)
    >>> X[random.random(X.shape) < 0.3] = np.nan
    >>> bool(make_pipeline(Imputer(), LinearRegression()).fit(X, y).score(X, y) > 0.95)
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012
        "estimator": [HasMethods(["fit", "impute"]), None],
        "method": [StrOptions(set(METHODS))],
        "add_indicator": ["boolean"],
    }

    def __init__(self, estimator: BaseEM | None = None, *, method: str = "mean", add_indicator: bool = False):
        self.estimator = estimator
        self.method = method
        self.add_indicator = add_indicator

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the mixture to rows X (N, D), of which values may be missing; `y` is ignored."""
        validate_parameter_constraints(
            self._parameter_constraints, self.get_params(deep=False), caller_name=type(self).__name__
        )
        values = self._values(X, reset=True)
        estimator: Any = GaussianMixture() if self.estimator is None else clone(self.estimator)
        self.estimator_ = estimator.fit(values, sample_weight=sample_weight)
        self.missing_features_ = np.flatnonzero(np.isnan(values).any(axis=0))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Rows X (N, D) with values in the place of those that are missing, and indicators where they are asked for."""
        check_is_fitted(self)
        values = self._values(X, reset=False)
        filled = self.estimator_.impute(values, method=self.method)
        if not self.add_indicator:
            return filled
        indicators = np.isnan(values[:, self.missing_features_]).astype(filled.dtype)
        return np.concatenate([filled, indicators], axis=1)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names (M,) of what `transform` returns: those of the columns, then "missingindicator_..."."""
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        if not self.add_indicator:
            return names
        added = [f"missingindicator_{names[j]}" for j in self.missing_features_]
        return np.concatenate([names, np.array(added, dtype=object)])

    def _values(self, X: Any, reset: bool) -> np.ndarray:
        return validate_data(self, X, reset=reset, ensure_all_finite="allow-nan", dtype=[np.float64, np.float32])
