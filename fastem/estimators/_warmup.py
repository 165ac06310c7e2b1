"""Compile ahead, so that no user waits for it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastem._naming import warn
from fastem._text import require_one_of
from fastem.estimators.column_hmms import PoissonHMM
from fastem.estimators.gaussian_hmm import GaussianHMM
from fastem.estimators.gaussian_mixture import GaussianMixture
from fastem.estimators.mixture import Mixture
from fastem.families.gaussian.location_scatter import STRUCTURES
from fastem.fitting.batch import MUCH_WORK
from fastem.fitting.thread_limits import REMEDY
from fastem.passes.cache import on_compile
from fastem.passes.pruning import MIN_COMPONENTS
from fastem.passes.units import TRACK_ROWS

_ROWS, _BITS = np.array([[0.0], [1.0], [3.0]]), np.array([[0.0], [1.0], [1.0]])
# Components that are many and far apart have kernels of their own, which leave some of them out.
_MANY_LABELS = np.repeat(np.arange(MIN_COMPONENTS), 2)
_MANY_ROWS = 1e3 * _MANY_LABELS[:, None] + np.tile([0.0, 1.0], MIN_COMPONENTS)[:, None]

# A sequence of several units has messages to find.
_LONG = np.tile(_ROWS, (TRACK_ROWS, 1))
# Counts, binary values, categories, waiting times and mixed columns share their kernels.
_COLUMNS = "columns"
_NAMES = (*STRUCTURES, _COLUMNS)


def warmup(
    families: Sequence[str] = _NAMES, *, hmm: bool = False, float32: bool = False, verbose: bool = False
) -> None:
    """Compile the kernels that fit and score, and keep them on disk.

    Otherwise the first fit and the first prediction of each kind of mixture on a machine wait some seconds for it. Rows
    of any dtype, memory order, number and dimension share the same kernels; only fits of many float32 rows have others,
    too. fastem keeps kernels, in one folder for each version, in the directory that the environment variable
    NUMBA_CACHE_DIR names, or else in the user's cache directory (``~/.cache/fastem`` on Linux). Folders of other
    versions that were not used for a day are removed, but a few.

    Parameters
    ----------
    families : sequence of {"full", "tied", "diag", "spherical", "columns"}, or one of them
        Covariance types of Gaussian mixtures; "columns" stands for all others, which share their kernels.
    hmm : bool, default False
        Also those of hidden Markov models.
    float32 : bool, default False
        Also those that compute in float32 (see the `precision` of a `GaussianMixture`).
    verbose : bool, default False
        Print how long each one took.

    Raises
    ------
    ValueError
        For a family that is not known.

    Warns
    -----
    RuntimeWarning
        When no directory can keep the kernels, so that they serve this process only.

    Examples
    --------
    >>> import fastem
    >>> fastem.warmup("diag")
    """
    names = [families] if isinstance(families, str) else list(families)
    for name in names:
        require_one_of("families", name, _NAMES)
    directories = [directory for name in names for directory in _warm(name, hmm, float32, verbose)]
    if None in directories:
        warn(f"The kernels serve this process only, since no directory can keep them; {REMEDY}.", RuntimeWarning)


def _warm(name: str, hmm: bool, float32: bool, verbose: bool) -> list[str | None]:
    """Compile what is not on disk; the directory of each kernel that was compiled."""
    compiled: list[str | None] = []
    if verbose:
        print(f"{name} ... ", end="", flush=True)
    start = time.perf_counter()
    with on_compile(compiled.append), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if name == _COLUMNS:
            _run_columns(hmm)
        else:
            _run_gaussian(name, hmm, float32)
    if verbose:
        found = "" if compiled else ", found on disk"
        print(f"{time.perf_counter() - start:.1f} s{found}", flush=True)
    return compiled


def _run_columns(hmm: bool) -> None:
    Mixture("bernoulli", max_iter=1).fit(_BITS).predict(_BITS)
    if hmm:
        long = np.tile(_BITS, (TRACK_ROWS, 1))
        PoissonHMM(2, n_iter=1, random_state=0).fit(long).predict(long)


def _run_gaussian(covariance_type: str, hmm: bool, float32: bool) -> None:
    few = GaussianMixture(covariance_type=covariance_type, init_params="random_from_data", max_iter=1)
    few.fit(_ROWS).predict(_ROWS)
    # A penalty, which weighs on few rows, would bring the components together.
    many = GaussianMixture(
        MIN_COMPONENTS, covariance_type=covariance_type, prior=None, init_params=_MANY_LABELS, max_iter=1
    )
    many.fit(_MANY_ROWS).predict(_MANY_ROWS)
    if float32:
        much = np.random.default_rng(0).standard_normal((MUCH_WORK // 2**8, 2**4), dtype=np.float32)
        GaussianMixture(
            2**4, covariance_type=covariance_type, init_params="random_from_data", random_state=0, max_iter=1
        ).fit(much)
    if hmm:
        chain = GaussianHMM(2, covariance_type, n_iter=1, random_state=0)
        chain.fit(_LONG).predict(_LONG)
