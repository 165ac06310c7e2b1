"""How many components, and of which covariance: all candidates are fitted in the same reads of the data."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastem._naming import named, warn
from fastem._text import no_setting
from fastem.estimators._bootstrap_test import require_testable, select_by_tests
from fastem.estimators._em import BaseEM
from fastem.estimators._hmm import BaseHMM
from fastem.estimators._validation import read_rows
from fastem.estimators.gaussian_mixture import GaussianMixture
from fastem.fitting.runs import Search
from fastem.fitting.scan import DataSummary
from fastem.fitting.spec import Start, Starts
from fastem.fitting.summary import summary_of
from fastem.schedules.batch import Batch
from fastem.schedules.result import FitResult
from fastem.search.candidates import Key
from fastem.search.selection import Selection, Terms, choose, read_kinds, unfinished
from fastem.sources import Source

# Settings of a mixture that are of one size, or of one fit.
_REFUSED = {
    "n_components", "covariance_type", "weights_init", "means_init", "precisions_init", "params_init", "warm_start",
    "checkpoint",
}  # fmt: skip


def select(
    X: Any,
    estimator: BaseEM | None = None,
    *,
    lengths: Any = None,
    n_components: int | Iterable[int] = range(1, 10),
    covariance_types: str | Sequence[str] | None = None,
    criterion: str = "bic",
    sample_weight: Any = None,
    min_gain: float = 1e-3,
    validation_fraction: float = 0.1,
    max_rows: int | None = None,
    allow_collapsed: bool = False,
    n_replicates: int = 99,
    alpha: float = 0.05,
    **settings: Any,
) -> Selection:
    """Choose the number of components (of states), and the type of Gaussian ones' covariances; see docs/select.md.

    All candidates are fitted together: each read of the data makes an iteration of every one that still goes on.

    Parameters
    ----------
    X : array-like (N, D) or (N,), data frame, path, or whatever `fastem.open_source` reads
    estimator : mixture or hidden Markov model, optional
        Not fitted; its settings are those of all candidates: `Mixture("poisson")`, `GaussianHMM()`. By default
        `GaussianMixture()`.
    lengths : array-like (S,) of int, optional
        Of hidden Markov models: the number of rows of each sequence, as in their `fit`.
    n_components : int or iterable of int, default range(1, 10)
    covariance_types : str or sequence of str, optional
        Of Gaussian components: "full", "tied", "diag" and "spherical"; by default all, and for one feature the first
        two, which the others repeat.
    criterion : {"bic", "aic", "caic", "sabic", "icl", "heldout", "blrt"}, default "bic"
        All but the last two as in `GaussianMixture`: lower is better; "icl" is of mixtures. "heldout": mean
        log-likelihood, in nats per row, of rows, or of sequences, that no candidate has learnt from. The smallest
        candidate is chosen from which no larger one gains enough (see `min_gain`). "blrt": the bootstrap
        likelihood-ratio test of each number of components of a mixture against the next one; see docs/select.md.
    sample_weight : array-like (N,) or str, optional
        As in `fit`.
    min_gain : float, default 1e-3
        With "heldout", a larger candidate must gain more than this for each component that it has more, in nats per
        row, and surely more than nothing (97.5 %).
    validation_fraction : float, default 0.1
        Part of the rows, or of the sequences, drawn at random, that "heldout" looks at; at most 100 000 rows, or 64 MB.
    max_rows : int, optional
        Compare the candidates on a random sample of so many rows (of sequences, or of pieces of long ones), and fit
        only the chosen one to all of them.
    allow_collapsed : bool, default False
        Whether a candidate may be chosen of which a component has collapsed onto rows that agree.
    n_replicates : int, default 99
        With "blrt", how often rows are drawn from the smaller mixture, and both are fitted to them.
    alpha : float, default 0.05
        With "blrt", the level at which the smaller mixture is rejected.
    **settings
        Of the estimator, in place of those that it has: `random_state`, `tol`, `max_iter` (of chains `n_iter`),
        `n_init` (for each, three starts of a size besides those from the smaller one; "auto": as 1), `prior`,
        `schedule` (`Batch` without bins),
        `verbose` and others, and their options as `schedule__acceleration`.

    Returns
    -------
    selection : Selection
        The table, and the chosen mixture, fitted to all rows.

    Raises
    ------
    ValueError, TypeError
        For unusable data or settings, naming the problem and the remedy.

    Warns
    -----
    ConvergenceWarning
        When some candidate stopped for another reason than convergence. (An interrupt ends the selection without a
        result.)

    References
    ----------
    Schwarz (1978), Ann. Statist. 6, 461-464; Biernacki, Celeux & Govaert (2000), IEEE Trans. PAMI 22, 719-725; Smyth
    (2000), Statistics and Computing 10, 63-72; McLachlan (1987), Applied Statistics 36, 318-324.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import select
    >>> random = np.random.default_rng(0)
    >>> x = np.concatenate([random.normal(20, 5, 3000), random.normal(40, 5, 7000)])
    >>> selection = select(x, n_components=range(1, 4), random_state=0)
    >>> selection.best_params_
    {'n_components': 2, 'covariance_type': 'tied'}
    >>> np.sort(selection.best_estimator_.means_[:, 0]).round().tolist()
    [20.0, 40.0]
    """
    template = GaussianMixture() if estimator is None else clone(_model_only(estimator))
    _require_settings(template, settings)
    terms = Terms.read(
        n_components, criterion, min_gain, validation_fraction, max_rows, allow_collapsed, n_replicates, alpha
    )
    template.set_params(**settings)._validate_params()
    template._require_sensible()
    _require_comparable(template, criterion, lengths)
    with template._fitting():
        source: Source
        if isinstance(template, BaseHMM):
            source = template._sequences(X, lengths, sample_weight, reset=True)
        else:
            source = template._as_asked(read_rows(template, X, sample_weight, reset=True))
        is_gaussian = hasattr(template, "covariance_type")
        kinds = read_kinds(covariance_types, source.n_features, is_gaussian, type(template).__name__)
        seed = int(template._generator().integers(2**63))
        if criterion == "blrt":
            require_testable(template, kinds, source, max_rows)
            return select_by_tests(template, source, terms.sizes, kinds[0], n_replicates, alpha, seed)
        found = choose(lambda key: _candidate(template, key)._model_spec(), source, kinds, terms, seed)
        if found.all_collapsed:
            warn(
                "Every candidate has a component that collapsed onto rows that agree. Leave out such rows or columns, "
                "or ask for fewer components; the best of them is chosen.",
                ConvergenceWarning,
            )
        chosen = _candidate(template, found.key)
        if found.summary is None:
            _fit_all(chosen, source, found.result)
        else:
            _publish(chosen, found.summary, found.result)
        message = unfinished(found.table, f"{named(template._iterations)}={template.max_iter}")
        if message:
            warn(message, ConvergenceWarning)
        return Selection(criterion, found.table, found.best, chosen)


def _candidate(template: BaseEM, key: Key) -> BaseEM:
    """A new estimator of one candidate, that knows the features."""
    estimator = clone(template).set_params(n_components=key.n_components)
    if key.covariance_type:
        estimator.set_params(covariance_type=key.covariance_type)
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(template, name):
            setattr(estimator, name, getattr(template, name))
    return estimator


def _publish(chosen: BaseEM, summary: DataSummary, result: FitResult) -> None:
    random = chosen._generator()
    search = Search(summary.n_rows, summary.weight, random.bit_generator.state)
    search.begin(result.state, [], random)
    chosen._publish(summary.model, search.with_result(result), summary)


def _fit_all(chosen: BaseEM, source: Source, result: FitResult) -> None:
    spec = chosen._model_spec()
    summary = summary_of(spec, source)
    final = chosen._fit(spec, summary, source, Starts(1, lambda random: Start(result.params, [])))
    chosen._warn_of(final.unbroken())


def _model_only(estimator: Any) -> BaseEM:
    if not isinstance(estimator, BaseEM):
        raise TypeError(
            "select compares mixtures and hidden Markov models, such as Mixture('poisson') and GaussianHMM(), and "
            f"{estimator!r} is none."
        )
    return estimator


def _require_comparable(template: BaseEM, criterion: str, lengths: Any) -> None:
    """Raise for a schedule that shares no reads of the data, and for what only one fit, a mixture or a chain has."""
    schedule, name = template._option("schedule"), type(template).__name__
    if not isinstance(schedule, Batch) or schedule.bins is not None:
        given = f"{named('schedule')}={template.schedule!r}"
        raise ValueError(f"select fits by batch EM, not by {given}. Use Batch(...) without bins.")
    if isinstance(template, BaseHMM):
        if criterion == "icl":
            raise ValueError("criterion='icl' is for mixtures, whose rows are independent. Use 'bic' for chains.")
        for setting in ("params", "init_params"):
            if getattr(template, setting) is not None:
                raise ValueError(f"{setting} is of a single fit: candidates learn all parameters. Leave it at None.")
    elif lengths is not None:
        raise ValueError(f"lengths applies only to hidden Markov models, not to {name}. Leave it out.")
    elif not isinstance(template.init_params, str):
        setting = named("init_params")
        raise ValueError(f"{setting} must be the name of a start: candidates differ in their number of components.")


def _require_settings(template: BaseEM, settings: Mapping[str, Any]) -> None:
    known = set(template.get_params()) - _REFUSED
    ours = set(inspect.signature(select).parameters) - {"X", "estimator", "settings"}
    for name in settings:
        if name == "covariance_type":
            raise TypeError("select has no setting 'covariance_type'. Give covariance_types, one or several.")
        if name.partition("__")[0] in _REFUSED:
            raise TypeError(f"select has no setting {name!r}, which is of a single fit. Leave it out.")
        if name not in known:
            takes = f"It takes those of {type(template).__name__}."
            raise no_setting("select", name, sorted(known | ours), takes)
