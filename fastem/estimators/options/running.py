"""Where a fit starts, and what it keeps."""

from __future__ import annotations

import os
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from fastem.estimators.options.base import Choice, Options
from fastem.starts.start import STARTS

_AT_LEAST_0 = Interval(Integral, 0, None, closed="left")
INIT = "k-means++"
_INITS = [StrOptions(set(STARTS) - {"quantile"})]


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Race(Options):
    """The `n_init` starts run on a sample for a few iterations, the better half for twice as many, and so on.

    The one that is left is fitted to all rows. A race of eight costs about as much as one fit.

    Parameters
    ----------
    swaps : int or "auto", default "auto"
        Most split-and-merge rounds on the sample, before all rows are fitted. Each moves the component that contributes
        least to where one component covers two clusters; rounds end when the objective no longer rises. "auto": as
        many as there are components when several starts race whose parameters are free, otherwise none. Of mixtures.
    init : {"k-means++", "kmeans", "random_from_data", "random"}, default "k-means++"
        How a hidden Markov model starts: with a mixture of a sample of the rows, from seeds of this kind, whose labels
        give the first transitions. In left-right chains sequences are cut into stretches instead, even ones when
        `n_init` is 1. Mixtures have `init_params` for it.

    Raises
    ------
    ValueError
        For a value that is out of range.

    Examples
    --------
    >>> from fastem import GaussianMixture, Race
    >>> GaussianMixture(8, n_init=4, search=Race(swaps=3))
    GaussianMixture(n_components=8, n_init=4, search=Race(swaps=3))
    """

    swaps: int | str = "auto"
    init: str = INIT

    _constraints: ClassVar[dict[str, list[Any]]] = {"swaps": [_AT_LEAST_0, StrOptions({"auto"})], "init": _INITS}


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Restarts(Options):
    """Every one of the `n_init` starts is fitted to all rows to its end; the highest objective wins.

    Parameters
    ----------
    swaps : int, default 0
        As of `Race`, for each start.
    init : str, default "k-means++"
        As of `Race`.

    Raises
    ------
    ValueError
        For a value that is out of range.

    Examples
    --------
    >>> from fastem import GaussianMixture, Restarts
    >>> GaussianMixture(8, n_init=4, search=Restarts())
    GaussianMixture(n_components=8, n_init=4, search=Restarts())
    """

    swaps: int = 0
    init: str = INIT

    _constraints: ClassVar[dict[str, list[Any]]] = {"swaps": [_AT_LEAST_0], "init": _INITS}


@dataclass(frozen=True, repr=False, eq=False)
class Checkpoint(Options):
    """A file that keeps the state of a fit, for `fit(..., resume=True)`, and the model so far, for `fastem.load`.

    It is replaced as a whole, so that it is there at any moment.

    Parameters
    ----------
    path : str or Path
    every : float, default 60
        Least seconds between two checkpoints: what is lost at worst, with the iteration under way.

    Raises
    ------
    ValueError
        For a negative number of seconds.

    Examples
    --------
    >>> from fastem import Checkpoint, GaussianMixture
    >>> GaussianMixture(2, checkpoint=Checkpoint("fit.npz", every=600.0)).checkpoint
    Checkpoint(path='fit.npz', every=600.0)
    """

    path: str | os.PathLike[str]
    every: float = 60.0

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "path": [str, os.PathLike],
        "every": [Interval(Real, 0.0, None, closed="left")],
    }


SEARCHES = Choice((Race, Restarts), {"race": Race(), "restarts": Restarts()})
CHECKPOINTS = Choice((Checkpoint,), {None: None}, (str, os.PathLike))
