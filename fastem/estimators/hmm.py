"""A hidden Markov model of any family: a kind of column, columns of several kinds, or a family of one's own."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Self

from fastem.estimators._hmm import BaseHMM
from fastem.estimators.mixture import FamilyParameters
from fastem.fitting.checkpoint import Checkpoint
from fastem.fitting.family_params import names_of
from fastem.fitting.parameters import sizes_of
from fastem.schedules.batch import Batch
from fastem.schedules.incremental import Incremental
from fastem.search.options import Race, Restarts


class HMM(FamilyParameters, BaseHMM):
    """Hidden Markov model of any distributions: of one kind of column, of mixed columns, or your own.

    Parameters
    ----------
    family : str, family, or list of D of these, default "normal"
        As of `Mixture`.
    n_components : int, default 1
        Number of states.
    startprob_prior, transmat_prior, algorithm, n_iter, tol, params, init_params, n_init, random_state, verbose
        As of `GaussianHMM`. The letters of `params` and `init_params` are "s", "t" and "e" (all of the family).
    schedule, search, memory_limit, n_threads, missing, checkpoint
        As of `GaussianHMM`.

    Attributes
    ----------
    startprob_, transmat_ : as of `GaussianHMM`
    params_ : NamedTuple
        Parameters of the family, as its kernels read them.
    rates_, probabilities_, n_categories_, means_, variances_, covariances_, shapes_, scales_, coef_, intercept_
        As of `Mixture`, each with the families that have it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import HMM
    >>> random = np.random.default_rng(0)
    >>> calm = np.repeat(np.arange(40) % 2 == 0, 50)
    >>> X = np.column_stack([random.normal(np.where(calm, 0, 4)), random.poisson(np.where(calm, 2, 9))])
    >>> hmm = HMM(["normal", "poisson"], n_components=2, random_state=0).fit(X)
    >>> np.sort(hmm.means_[:, 1]).round().tolist()
    [2.0, 9.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseHMM._parameter_constraints,
        "family": FamilyParameters._parameter_constraints["family"],
    }
    _letters: ClassVar[dict[str, str]] = {"e": "params_"}
    _structural = (*BaseHMM._structural, "family")

    def __init__(
        self,
        family: Any = "normal",
        n_components: int = 1,
        *,
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        algorithm: str = "viterbi",
        n_iter: int = 1000,
        tol: float = 1e-5,
        params: str | None = None,
        init_params: str | None = None,
        n_init: int | str = "auto",
        random_state: Any = None,
        verbose: int = 0,
        schedule: str | Batch | Incremental = "batch",
        search: str | Race | Restarts = "race",
        memory_limit: int | str | None = None,
        n_threads: int | None = None,
        missing: str = "mar",
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    ):
        self._keep(locals())

    def _names(self) -> dict[str, tuple[str, ...]]:
        return super()._names() | {"e": ("params_", *(f"{name}_" for name in names_of(self._of_family)))}

    def _with_given(self, family: Any, params: Any, given: str) -> Any:
        by_hand = {*filter(self._is_set_by_hand, self._names()["e"])}
        return self._given_values(family, by_hand or {"params_"})

    @classmethod
    def from_parameters(
        cls,
        family: Any,
        startprob: Any,
        transmat: Any,
        *,
        record: Any = None,
        n_features: int | None = None,
        **values: Any,
    ) -> Self:
        """A model with known parameters, that scores, predicts and samples without a fit.

        Parameters
        ----------
        family, record, n_features, **values
            As of `Mixture.from_parameters`.
        startprob : array-like (K,)
        transmat : array-like (K, K)

        Raises
        ------
        ValueError, TypeError, NotFittedError
            As of `Mixture.from_parameters`.

        Examples
        --------
        >>> from fastem import HMM
        >>> chances = [[0.9, 0.1], [0.2, 0.8]]
        >>> HMM.from_parameters("poisson", [0.5, 0.5], chances, rates=[2.0, 9.0]).predict([1, 2, 12, 8]).tolist()
        [0, 0, 1, 1]
        """
        sizes_of("startprob", startprob, ("n_components",))
        return cls._from_names(family, record, n_features, values, startprob=startprob, transmat=transmat)
