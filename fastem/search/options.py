"""Where a fit starts, and what becomes of its starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fastem._options import Allowed, Choice, Options, integers, texts
from fastem.starts.start import STARTS

INIT = "k-means++"
_INITS = (texts(*sorted(set(STARTS) - {"quantile"})),)


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Race(Options):
    """The `n_init` starts run on a sample for a few iterations, the better half for twice as many, and so on.

    The one that is left is fitted to all rows. A race of eight costs about as much as one fit. With ``n_init="auto"``,
    starts of mixtures whose components share no parameter run side by side, in the same passes: the best third of them
    goes on for twice as many iterations, and so on.

    Parameters
    ----------
    swaps : int or "auto", default "auto"
        Most split-and-merge rounds on the sample, before all rows are fitted. Each moves the component that contributes
        least to where one component covers two clusters; rounds end when the objective no longer rises. "auto": as
        many as there are components when `n_init` starts race whose parameters are free, otherwise none. Of mixtures.
    init : {"k-means++", "kmeans", "random_from_data", "random"}, default "k-means++"
        How a hidden Markov model starts: with a mixture of a sample of the rows, from seeds of this kind, whose labels
        give the first transitions. In left-right chains sequences are cut into stretches instead, even ones when
        there is one start. Mixtures have `init_params` for it.

    Examples
    --------
    >>> from fastem import GaussianMixture, Race
    >>> GaussianMixture(8, n_init=4, search=Race(swaps=3))
    GaussianMixture(n_components=8, n_init=4, search=Race(swaps=3))
    """

    swaps: int | str = "auto"
    init: str = INIT

    _allowed: ClassVar[dict[str, tuple[Allowed, ...]]] = {"swaps": (integers(0), texts("auto")), "init": _INITS}


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Restarts(Options):
    """Every one of the `n_init` starts is fitted to all rows to its end; the highest objective wins.

    With ``n_init="auto"`` there is one.

    Parameters
    ----------
    swaps : int, default 0
        As of `Race`, for each start.
    init : str, default "k-means++"
        As of `Race`.

    Examples
    --------
    >>> from fastem import GaussianMixture, Restarts
    >>> GaussianMixture(8, n_init=4, search=Restarts())
    GaussianMixture(n_components=8, n_init=4, search=Restarts())
    """

    swaps: int = 0
    init: str = INIT

    _allowed: ClassVar[dict[str, tuple[Allowed, ...]]] = {"swaps": (integers(0),), "init": _INITS}


SEARCHES = Choice((Race, Restarts), {"race": Race(), "restarts": Restarts()})
