"""How many components, and of which covariance: all candidates are fitted in the same reads of the data."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastem._naming import named
from fastem.estimators._em import BaseEM
from fastem.estimators._hmm import BaseHMM
from fastem.estimators._selection import Selection
from fastem.estimators._validation import no_setting, read_rows, require_one_of, rows_per_chunk
from fastem.estimators.gaussian_mixture import GaussianMixture
from fastem.estimators.options import Batch
from fastem.families.gaussian.location_scatter import STRUCTURES
from fastem.fitting.runs import Search
from fastem.fitting.scan import DataSummary
from fastem.fitting.spec import Start, Starts
from fastem.fitting.summary import summary_of
from fastem.schedules.result import FitResult
from fastem.search.candidates import Candidates, Key
from fastem.search.comparison import compare
from fastem.search.heldout import hold_out
from fastem.search.sample_race import sample_of
from fastem.sources import Source, in_chunks_of

CRITERIA = ("bic", "aic", "icl", "heldout")
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
    **settings: Any,
) -> Selection:
    """Choose the number of components (of states), and the type of Gaussian ones' covariances.

    All candidates are fitted together: each read of the data makes an iteration of every one that still goes on. Each
    starts from a smaller one, by splitting components, or anew, whichever is better; one that describes the rows worse
    than a smaller one of its type starts again from that.

    Parameters
    ----------
    X : array-like (N, D) or (N,), data frame, path, or whatever `fastem.open_source` reads
    estimator : mixture or hidden Markov model, optional
        Not fitted; its settings are those of all candidates: `Mixture("poisson")`, `Mixture(["normal", "poisson"])`,
        `GaussianHMM()`. By default `GaussianMixture()`.
    lengths : array-like (S,) of int, optional
        Of hidden Markov models: the number of rows of each sequence, as in their `fit`.
    n_components : int or iterable of int, default range(1, 10)
    covariance_types : str or sequence of str, optional
        Of Gaussian components: "full", "tied", "diag" and "spherical"; by default all, and for one feature the first
        two, which the others repeat.
    criterion : {"bic", "aic", "icl", "heldout"}, default "bic"
        The first three as in `GaussianMixture`: lower is better. "heldout": mean log-likelihood, in nats per row, of
        rows, or of sequences, that no candidate has learnt from. The smallest candidate is chosen from which no larger
        one gains enough (see `min_gain`). "icl" is of mixtures.
    sample_weight : array-like (N,) or str, optional
        Weights, or the name of their column; a row of weight 2 counts as the row twice. Of hidden Markov models
        weights (S,) of the sequences.
    min_gain : float, default 1e-3
        With "heldout", a larger candidate must gain more than this for each component that it has more, in nats per
        row, and surely more than nothing (97.5 %, by Student's t, from the gains of the rows or sequences).
    validation_fraction : float, default 0.1
        Part of the rows, or of the sequences, drawn at random, that "heldout" looks at; at most 100 000 rows, or 64 MB.
    max_rows : int, optional
        Compare the candidates on a random sample of so many rows (of sequences, or of pieces of long ones), and fit
        only the chosen one to all of them. None: every row counts. BIC prefers ever larger mixtures as rows grow in
        number, because no data are exactly a mixture of Gaussians; of a sample, it finds what so many rows can tell.
    allow_collapsed : bool, default False
        Whether a candidate may be chosen of which a component has collapsed onto rows that agree (zeros, codes, rows on
        a line). The likelihood of such a component has no bound. The table marks it in any case.
    **settings
        Of the estimator, in place of those that it has: `random_state`, `tol`, `max_iter` (of chains `n_iter`),
        `n_init` (starts of each size besides those from the smaller one, by `init_params`), `prior`, `schedule`
        (`Batch` without bins), `memory_limit`, `n_threads`, `verbose` and others, and their options as
        `schedule__acceleration`.

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
    Schwarz (1978), Ann. Statist. 6, 461-464; Akaike (1974), IEEE Trans. Automatic Control 19, 716-723; Biernacki,
    Celeux & Govaert (2000), IEEE Trans. PAMI 22, 719-725; Smyth (2000), Statistics and Computing 10, 63-72.

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
    sizes = _read_sizes(n_components)
    require_one_of("criterion", criterion, CRITERIA)
    _require_number("min_gain", min_gain, isinstance(min_gain, Real) and min_gain >= 0.0, "at least 0")
    inside = isinstance(validation_fraction, Real) and 0.0 < validation_fraction < 1.0
    _require_number("validation_fraction", validation_fraction, inside, "between 0 and 1")
    usable = max_rows is None or (isinstance(max_rows, Integral) and int(max_rows) >= 1)
    _require_number("max_rows", max_rows, usable, "None or a positive integer")
    template.set_params(**settings)._validate_params()
    template._require_sensible()
    _require_batch(template)
    if isinstance(template, BaseHMM):
        _require_of_chains(template, criterion)
    elif lengths is not None:
        raise ValueError(
            f"lengths applies only to hidden Markov models, not to {type(template).__name__}. Leave it out."
        )
    elif not isinstance(template.init_params, str):
        raise ValueError("init_params must be the name of a start: candidates differ in their number of components.")
    with template._fitting():
        source: Source
        if isinstance(template, BaseHMM):
            source = template._sequences(X, lengths, sample_weight, reset=True)
        else:
            source = read_rows(template, X, sample_weight, reset=True)
            source = in_chunks_of(source, rows_per_chunk(source, template.memory_limit))
        kinds = _read_kinds(covariance_types, source.n_features, template)
        return _select(
            template, source, sizes, kinds, criterion, min_gain, validation_fraction, max_rows, allow_collapsed
        )


def _select(
    template: BaseEM,
    source: Source,
    sizes: Sequence[int],
    kinds: Sequence[str],
    criterion: str,
    min_gain: float,
    validation_fraction: float,
    max_rows: int | None,
    allow_collapsed: bool,
) -> Selection:
    seed = int(template._generator().integers(2**63))
    compared, heldout = source, None
    if max_rows is not None:
        largest = clone(template).set_params(n_components=max(sizes))
        compared = sample_of(largest._model_spec(), source, max_rows, np.random.default_rng([seed, 3]))
    if criterion == "heldout":
        compared, heldout = hold_out(compared, validation_fraction, np.random.default_rng([seed, 4]))
    candidates = Candidates(lambda key: _candidate(template, key)._model_spec(), compared, sizes, kinds, seed)
    n = len(candidates.keys())
    results = candidates.fit(_notifier(n, template.verbose_interval) if template.verbose else lambda n_left: None)
    choice = compare(candidates, results, criterion, compared, heldout, min_gain, allow_collapsed)
    if choice.all_collapsed:
        warnings.warn(
            "Every candidate has a component that collapsed onto rows that agree. Leave out such rows or columns, "
            "or ask for fewer components; the best of them is chosen.",
            ConvergenceWarning,
            stacklevel=3,
        )
    key = choice.keys[choice.best]
    chosen, result = _candidate(template, key), results[key]
    if compared is source:
        _publish(chosen, candidates.summary(key), result)
    else:
        _fit_all(chosen, source, result)
    _warn_unless_converged(choice.table, f"{named(template._iterations)}={template.max_iter}")
    given = ["covariance_type"] if kinds[0] else []
    order = (*given, "n_components", "n_parameters", "loglik", "aic", "bic", criterion, "heldout_se")
    first = choice.table[0]
    names = [*dict.fromkeys(name for name in order if name in first), "n_iter", "converged", "collapsed"]
    table = tuple({name: row[name] for name in names} for row in choice.table)
    return Selection(criterion, table, choice.best, chosen)


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
    """Make the chosen candidate a fitted estimator."""
    random = chosen._generator()
    search = Search(summary.n_rows, summary.weight, random.bit_generator.state)
    search.begin(result.state, [], random)
    chosen._publish(summary.model, search.with_result(result), summary)


def _fit_all(chosen: BaseEM, source: Source, result: FitResult) -> None:
    """Fit the chosen candidate to all rows, from where it stands."""
    spec = chosen._model_spec()
    summary = summary_of(spec, source)
    final = chosen._fit(spec, summary, source, Starts(1, lambda random: Start(result.params, [])))
    chosen._warn_of(final.unbroken())


def _warn_unless_converged(table: Sequence[Mapping[str, Any]], most: str) -> None:
    open_ends = [row for row in table if not row["converged"]]
    if open_ends:
        names = ", ".join(f"{row['covariance_type']} {row['n_components']}".lstrip() for row in open_ends[:5])
        warnings.warn(
            f"{len(open_ends)} of {len(table)} candidates did not converge ({names}{'...' * (len(open_ends) > 5)}). "
            f"Raise {most} or {named('tol')}.",
            ConvergenceWarning,
            stacklevel=4,
        )


def _notifier(n: int, interval: int) -> Callable[[int], None]:
    """Prints a line after every `interval` reads of the data."""
    n_reads = 0

    def notify(n_left: int) -> None:
        nonlocal n_reads
        n_reads += 1
        if n_reads % interval == 0:
            print(f"pass {n_reads}: {n_left} of {n} candidates still running", flush=True)

    return notify


# Reading.


def _model_only(estimator: Any) -> BaseEM:
    if not isinstance(estimator, BaseEM):
        raise TypeError(
            "select compares mixtures and hidden Markov models, such as Mixture('poisson') and GaussianHMM(), and "
            f"{estimator!r} is none."
        )
    return estimator


def _require_batch(template: BaseEM) -> None:
    """Raise for another schedule than that of candidates, which share each read of the data."""
    schedule = template._option("schedule")
    if not isinstance(schedule, Batch) or schedule.bins is not None:
        raise ValueError(
            f"select fits by batch EM, not by schedule={template.schedule!r}. Use Batch(...) without bins."
        )


def _require_of_chains(template: BaseHMM, criterion: str) -> None:
    """Raise for what only a single chain, or only a mixture has."""
    if criterion == "icl":
        raise ValueError("criterion='icl' is for mixtures, whose rows are independent. Use 'bic' for chains.")
    for name in ("params", "init_params"):
        if getattr(template, name) is not None:
            raise ValueError(f"{name} is of a single fit: candidates learn all parameters. Leave it at None.")


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


def _read_sizes(n_components: Any) -> list[int]:
    given = [n_components] if isinstance(n_components, Integral) else n_components
    sizes = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else []
    if not sizes or not all(isinstance(size, Integral) and int(size) >= 1 for size in sizes):
        raise ValueError(f"n_components must be one or several positive integers, got {n_components!r}.")
    return sorted({int(size) for size in sizes})


def _read_kinds(covariance_types: Any, n_features: int, template: BaseEM) -> list[str]:
    if not hasattr(template, "covariance_type"):
        if covariance_types is not None:
            raise ValueError(
                f"covariance_types are of Gaussian components; {type(template).__name__} has none. Leave it out."
            )
        return [""]
    if covariance_types is None:
        return ["full", "tied"] if n_features == 1 else list(STRUCTURES)
    kinds = [covariance_types] if isinstance(covariance_types, str) else list(covariance_types)
    for kind in kinds:
        require_one_of("covariance_types", kind, STRUCTURES)
    if not kinds:
        raise ValueError(f"covariance_types names none of {', '.join(STRUCTURES)}.")
    return list(dict.fromkeys(kinds))


def _require_number(name: str, value: Any, is_usable: bool, wanted: str) -> None:
    if not is_usable:
        raise ValueError(f"{name} must be {wanted}, got {value!r}.")
