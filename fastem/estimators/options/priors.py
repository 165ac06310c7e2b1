"""What is known before the data are seen: priors, and parameters that are fixed."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from fastem.estimators.options.base import Choice, Options

_POSITIVE = Interval(Real, 0.0, None, closed="neither")
_CONCENTRATION = Interval(Real, 1.0, None, closed="left")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class NormalInverseWishart(Options):
    """A conjugate prior of a Gaussian mixture; the fit finds the mode of the posterior density.

    Parameters
    ----------
    weight_concentration : float or None, default None
        Concentration, at least 1, of a symmetric Dirichlet prior of the weights.
    mean : array-like (D,), optional
        Mean of a normal prior of the means; by default that of the data, where `mean_precision` is given.
    mean_precision : float or None, default None
        As many rows at `mean` count for each mean; 1 where only `mean` is given.
    degrees_of_freedom : float or None, default None
        Of an inverse Wishart prior of the covariances, more than D - 1; D where only `covariance` is given.
    covariance : array-like, float, "vanishing" or None, default "vanishing"
        Scale matrix of that prior: (D, D) for "full" and "tied", (D,) for "diag", a number for "spherical"; by default
        the covariance of the data, where `degrees_of_freedom` is given. Otherwise "vanishing" stands for the penalty
        that `prior="vanishing"` is, and None for no prior of covariances.

    Raises
    ------
    ValueError
        For a value that is out of range; in `fit`, for one that does not suit the number of features.

    References
    ----------
    Fraley & Raftery (2007), J. Classification 24, 155-181.

    Examples
    --------
    >>> from fastem import GaussianMixture, NormalInverseWishart
    >>> mixture = GaussianMixture(2, prior=NormalInverseWishart(degrees_of_freedom=5.0))
    >>> mixture.set_params(prior__weight_concentration=2.0).prior
    NormalInverseWishart(weight_concentration=2.0, degrees_of_freedom=5.0)
    """

    weight_concentration: float | None = None
    mean: Any = None
    mean_precision: float | None = None
    degrees_of_freedom: float | None = None
    covariance: Any = "vanishing"

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "weight_concentration": [_CONCENTRATION, None],
        "mean": ["array-like", None],
        "mean_precision": [_POSITIVE, None],
        "degrees_of_freedom": [_POSITIVE, None],
        "covariance": ["array-like", _POSITIVE, StrOptions({"vanishing"}), None],
    }


@dataclass(frozen=True, repr=False, eq=False)
class Dirichlet(Options):
    """A symmetric Dirichlet prior of the weights of a mixture.

    Parameters
    ----------
    weight_concentration : float, default 1
        At least 1, where there is no prior; each component counts as so many rows less one that were seen.

    Raises
    ------
    ValueError
        For a value below 1.

    Examples
    --------
    >>> from fastem import Dirichlet, Mixture
    >>> Mixture("poisson", 2, prior=Dirichlet(1.5)).prior
    Dirichlet(weight_concentration=1.5)
    """

    weight_concentration: float = 1.0

    _constraints: ClassVar[dict[str, list[Any]]] = {"weight_concentration": [_CONCENTRATION]}


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Fixed(Options):
    """Parameters that stay where they start, or, with `warm_start`, as they were.

    Parameters
    ----------
    weights : bool, array-like (K,) of bool, or "equal", default False
        Weights that stay at `weights_init`, all or some; or equal ones.
    means : bool or array-like (K,) of bool, default False
        Means that stay at `means_init`. `GaussianMixture` only.
    covariances : bool or array-like (K,) of bool, default False
        Covariances that stay the inverses of `precisions_init`. `GaussianMixture` only.

    Raises
    ------
    ValueError
        For a value of another kind; in `fit`, for one that does not suit the number of components, or where no first
        values are given.

    Examples
    --------
    >>> from fastem import Fixed, GaussianMixture
    >>> mixture = GaussianMixture(2, means_init=[[20.0], [40.0]], fixed=Fixed(means=[True, False]))
    >>> mixture.fixed
    Fixed(means=[True, False])
    """

    weights: Any = False
    means: Any = False
    covariances: Any = False

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "weights": [StrOptions({"equal"}), "boolean", "array-like"],
        "means": ["boolean", "array-like"],
        "covariances": ["boolean", "array-like"],
    }


GAUSSIAN_PRIORS = Choice(
    (NormalInverseWishart,), {"vanishing": NormalInverseWishart(), None: NormalInverseWishart(covariance=None)}
)
WEIGHT_PRIORS = Choice((Dirichlet,), {None: Dirichlet()})
FIXED = Choice((Fixed,), {None: Fixed()})
