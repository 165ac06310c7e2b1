"""How far estimates may lie from the truth: information, standard errors, intervals, the bootstrap.

Everything is worked out in *moves*: directions in which a family and a latent structure let their parameters go, in
units of their own (see `families/_gaussian_moves.py`), so that the information is well scaled in any units of data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtri

from fastem.model import Chunk, Model, Params
from fastem.sources.source import Sample, Source
from fastem.stats import ExpectedStats

# Derivatives that are held at a time.
_PIECE_NUMBERS = 2**20
# Least central difference of the gradient, in the units of moves.
_DIFFERENCE = 1e-4
# Eigenvalues of the information, with a diagonal of ones, that are zero to rounding next to the largest one.
_SINGULAR = 1e-11


class Record(SimpleNamespace):
    """Named values that are read as attributes, and cannot be set."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is a result and cannot be changed.")


class ParameterArrays(Record):
    """Numbers for all parameters: an array for each fitted attribute, in its shape, by its name without underscore.

    For Gaussians: `weights`, `means` and `covariances`.
    """


class StandardErrors(ParameterArrays):
    """Standard errors of all parameters.

    Attributes
    ----------
    weights, means, covariances : ndarray
        In the shapes of the fitted attributes.
    covariance_matrix : (P, P) ndarray
        Of all estimates. Its rank is the number of free parameters: the weights sum to one.
    names : tuple of str
        What its rows stand for: "weights[0]", "means[0, 1]", "covariances[1, 0, 0]" (lower triangles only), ...
    distance : float
        How far the maximum of the likelihood lies from the fitted parameters, by one Newton step: the largest
        distance of any parameter, in its standard errors. NaN when a sample of the rows was read.
    """


class ConfidenceIntervals(Record):
    """Limits between which each parameter lies with a given confidence, taken alone.

    Attributes
    ----------
    level : float
    lower, upper : ParameterArrays
    """


class Bootstrap(ParameterArrays):
    """ParameterArrays from rows that were weighted anew at random.

    Attributes
    ----------
    weights, means, covariances : ndarray
        One estimate for each replicate, along a first axis.
    """

    def standard_errors(self) -> ParameterArrays:
        """Standard deviations over the replicates."""
        return ParameterArrays(**{name: values.std(axis=0, ddof=1) for name, values in vars(self).items()})

    def confidence_intervals(self, level: float = 0.95) -> ConfidenceIntervals:
        """Percentiles of the replicates.

        Parameters
        ----------
        level : float, default 0.95
        """
        require_level(level)
        tails = (0.5 - 0.5 * level, 0.5 + 0.5 * level)
        lower, upper = (
            ParameterArrays(**{name: np.quantile(values, tail, axis=0) for name, values in vars(self).items()})
            for tail in tails
        )
        return ConfidenceIntervals(level=level, lower=lower, upper=upper)


class Information(NamedTuple):
    """Of rows, about moves of the parameters.

    Attributes
    ----------
    matrix : (P, P) ndarray
        Sum over rows of weight * gradient gradient'.
    gradient : (P,) ndarray
        Sum over rows of weight * gradient; zero at the maximum of the likelihood.
    """

    matrix: np.ndarray
    gradient: np.ndarray


def empirical_information(model: Model, params: Params, chunks: Iterable[Chunk]) -> Information:
    """The information that the rows' own gradients give, in one pass.

    Raises
    ------
    ValueError
        For a row of density zero, or so near to it that squares of gradients overflow.

    References
    ----------
    McLachlan & Peel (2000), *Finite Mixture Models*, section 2.16.
    """
    n_moves = model.n_parameters()
    matrix, gradient = np.zeros((n_moves, n_moves)), np.zeros(n_moves)
    step = max(1, _PIECE_NUMBERS // max(n_moves, model.latent.n_components * model.family.n_features))
    for chunk in chunks:
        for start in range(0, chunk.X.shape[0], step):
            X = chunk.X[start : start + step].astype(np.float64)
            weight = np.ones(len(X)) if chunk.weight is None else chunk.weight[start : start + step]
            X, weight = X[weight > 0], weight[weight > 0]
            if len(X) == 0:
                continue
            with np.errstate(over="ignore", invalid="ignore"):
                gradients = row_gradients(model, params, X)
                gradient += weight @ gradients
                # A product of a matrix with itself takes half the time, and is symmetric to the bit.
                gradients *= np.sqrt(weight)[:, None]
                matrix += gradients.T @ gradients
        del chunk
    if not np.all(np.isfinite(matrix)):
        raise ValueError(_IMPOSSIBLE)
    return Information(matrix, gradient)


def row_gradients(model: Model, params: Params, X: np.ndarray) -> np.ndarray:
    """Derivatives (N, P) of the log-likelihood of each row (N, D), in nats, by moves of the parameters.

    Fisher's identity: they are the expected derivatives of the complete data's.
    """
    resp = np.empty((len(X), model.latent.n_components))
    model.posterior(params, X, resp)
    if not np.all(resp.any(axis=1)):
        raise ValueError(_IMPOSSIBLE)
    of_latent = model.latent.gradients(params.latent, resp)
    return np.concatenate([of_latent, model.family.gradients(params.family, X, resp)], axis=1)


_IMPOSSIBLE = "X holds rows of density zero, or nearly zero, under the model. Give the rows that it was fitted to."


def total_gradient(model: Model, params: Params, stats: ExpectedStats) -> np.ndarray:
    """Derivatives (P,) of the log-likelihood of all rows, from their expected statistics at `params`."""
    if stats.impossible > 0:
        raise ValueError(_IMPOSSIBLE)
    of_latent = model.latent.gradient(params.latent, stats.latent)
    return np.concatenate([of_latent, model.family.gradient(params.family, stats.family)])


def observed_information(model: Model, params: Params, e_step: Callable[[Params], ExpectedStats]) -> np.ndarray:
    """Curvature (P, P) of the log-likelihood, by central differences of its gradient: two E-steps for each move.

    The gradient at a neighbour is taken in the neighbour's own moves, which makes no difference at the maximum.
    """
    n_moves, n_latent = model.n_parameters(), model.latent.n_parameters()

    def gradient_at(move: np.ndarray) -> np.ndarray:
        latent = model.latent.moved(params.latent, move[:n_latent])
        neighbour = Params(latent, model.family.moved(params.family, move[n_latent:]))
        return total_gradient(model, neighbour, e_step(neighbour))

    # The error of the difference is of the order of its square, that of rounding falls with it.
    h = max(_DIFFERENCE, float(np.cbrt(model.family.resolution(params.family))))
    moves = h * np.eye(n_moves)
    curvature = np.array([gradient_at(-move) - gradient_at(move) for move in moves]) / (2.0 * h)
    return 0.5 * (curvature + curvature.T)


def root_of_inverse(model: Model, information: np.ndarray) -> np.ndarray:
    """A matrix R with R R' = the inverse of an information matrix (P, P).

    Raises
    ------
    ValueError
        When it has none, naming the component.
    """
    owners = np.concatenate([model.latent.owners(), model.family.owners()])
    diagonal = np.diagonal(information)
    flat = ~(diagonal > 0)
    if flat.any():
        raise ValueError(_undetermined(owners[flat][0]))
    scale = np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(information / scale / scale[:, None])
    if values.size and not values[0] > _SINGULAR * values[-1]:
        raise ValueError(_undetermined(owners[np.argmax(np.abs(vectors[:, 0]))]))
    return vectors / np.sqrt(values) / scale[:, None]


def require_interior(model: Model, params: Params) -> None:
    """Raise for parameters on the border of what the family allows, where standard errors mean nothing.

    Raises
    ------
    ValueError
        Naming the component.
    """
    on_floor = model.family.on_floor(params.family)
    if on_floor.size:
        raise ValueError(
            f"{_subject(on_floor[0])} has collapsed to covariance_floor, where standard errors mean nothing. "
            "Fit with fewer components, another start or a simpler covariance_type."
        )


def _undetermined(owner: int) -> str:
    return (
        f"The rows do not determine the parameters of {_subject(owner).lower()}: the information about them is "
        "singular. Give more rows, or fit with fewer components or a simpler covariance_type."
    )


def _subject(owner: int) -> str:
    return "The shared covariance" if owner < 0 else f"Component {owner}"


def estimates(model: Model, params: Params) -> dict[str, np.ndarray]:
    """What is shown of the parameters, by name."""
    of_latent = {name: getattr(params.latent, name) for name in model.latent.scales()}
    return {**of_latent, **{name: getattr(params.family, name) for name in model.family.scales()}}


def _scales(model: Model) -> dict[str, np.ndarray]:
    return {**model.latent.scales(), **model.family.scales()}


def _changes(model: Model, params: Params, moves: np.ndarray) -> dict[str, np.ndarray]:
    """What moves (M, P) change in what is shown."""
    n_latent = model.latent.n_parameters()
    of_latent = model.latent.changes(params.latent, moves[:, :n_latent])
    return {**of_latent, **model.family.changes(params.family, moves[:, n_latent:])}


def standard_errors(
    model: Model,
    params: Params,
    chunks: Iterable[Chunk],
    e_step: Callable[[Params], ExpectedStats],
    kind: str,
    ratio: float = 1.0,
) -> StandardErrors:
    """Standard errors from the rows of all chunks, which `e_step` reads, too.

    Parameters
    ----------
    model : Model
    params : Params
    chunks : iterable of Chunk
    e_step : callable
        Expected statistics of the same rows at any parameters; only called for the curvature.
    kind : {"empirical", "observed", "robust"}
        Whether their squared gradients make the information, or its curvature, or both.
    ratio : float
        By how much the weight of all rows is larger than that of these, a sample.

    Raises
    ------
    ValueError
        For parameters on a border, for rows of density zero, and when the rows do not determine a parameter.

    References
    ----------
    Louis (1982), J. R. Statist. Soc. B 44, 226-233; White (1982), Econometrica 50, 1-25.
    """
    require_interior(model, params)
    matrix, gradient = empirical_information(model, params, chunks)
    information = matrix if kind == "empirical" else observed_information(model, params, e_step)
    root = root_of_inverse(model, ratio * information)
    # The gradient of a sample is not that of all rows.
    to_maximum = root @ (root.T @ gradient) if ratio == 1.0 else None
    if kind == "robust":
        values, vectors = np.linalg.eigh(ratio * matrix)
        root = root @ (root.T @ (vectors * np.sqrt(np.maximum(values, 0.0))))
    return _shown(model, params, root, to_maximum)


def _shown(model: Model, params: Params, root: np.ndarray, to_maximum: np.ndarray | None) -> StandardErrors:
    """Standard errors of what is shown, when the covariance matrix of moves is root root' (P, P)."""
    changes = _changes(model, params, root.T)
    errors = {name: _norm(change) for name, change in changes.items()}
    distance = np.nan
    if to_maximum is not None:
        way = _changes(model, params, to_maximum[None])
        distance = max(float(_ratio(np.abs(way[name][0]), error).max()) for name, error in errors.items())
    names, columns = [], []
    for name, scale in _scales(model).items():
        entries = np.argwhere(scale != "mirrored")
        names += [f"{name}[{', '.join(map(str, entry))}]" for entry in entries]
        columns.append(changes[name][:, *entries.T])
    table = np.concatenate(columns, axis=1)
    size = _norm(table)
    correlation = _ratio(table, size).T @ _ratio(table, size)
    # The squares may overflow where the errors do not.
    with np.errstate(over="ignore"):
        matrix = correlation * size * size[:, None]
    return StandardErrors(**errors, covariance_matrix=matrix, names=tuple(names), distance=distance)


def _norm(change: np.ndarray) -> np.ndarray:
    """Root of the sum of squares along the first axis."""
    largest = np.abs(change).max(axis=0, initial=0.0)
    return largest * np.sqrt(np.square(_ratio(change, largest)).sum(axis=0))


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, and zero where b is."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b > 0)


def intervals(model: Model, params: Params, errors: StandardErrors, level: float) -> ConfidenceIntervals:
    """Limits from standard errors, each on the scale on which its estimate is nearly normal."""
    require_level(level)
    half = float(ndtri(0.5 + 0.5 * level))
    shown, scales = estimates(model, params), _scales(model)
    lower, upper = (
        ParameterArrays(
            **{name: _limit(shown[name], tail * getattr(errors, name), scale) for name, scale in scales.items()}
        )
        for tail in (-half, half)
    )
    return ConfidenceIntervals(level=level, lower=lower, upper=upper)


def _limit(estimate: np.ndarray, distance: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """ParameterArrays moved by a distance, which is taken along their scales."""
    limit = estimate + distance
    with np.errstate(over="ignore"):
        log, share = scale == "log", scale == "logit"
        limit[log] = estimate[log] * np.exp(distance[log] / estimate[log])
        p, d = estimate[share], distance[share]
        # The share of the only component is one, and certain.
        limit[share] = np.where(p < 1.0, expit(logit(p) + _ratio(d, p * (1.0 - p))), p)
    return limit


def require_level(level: float) -> None:
    """Raise ValueError for a level of confidence that is not between zero and one."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, such as 0.95; it is {level}.")


def bootstrap(
    model: Model,
    params: Params,
    sample: Sample,
    ratio: float,
    n_replicates: int,
    random: np.random.Generator,
    refit: Callable[[Source, Params], Params],
) -> Bootstrap:
    """Estimates from rows that are weighted anew at random, by `refit(rows, start)`.

    A row of the whole data has a weight of exponential distribution, of mean one. A row of weight w of a sample stands
    for w * `ratio` of them, the sum of whose weights has a gamma distribution. So a row of weight 2 is the row twice,
    and the spread is that of all rows. The optimum of a sample lies elsewhere, and the replicates about it: they are
    moved to the fitted parameters.

    References
    ----------
    Newton & Raftery (1994), *Approximate Bayesian inference with the weighted likelihood bootstrap*, J. R. Statist.
    Soc. B 56, 3-48.
    """
    require_interior(model, params)
    weight = np.ones(len(sample.X)) if sample.weight is None else sample.weight
    centre = refit(sample, params)
    refits = [
        estimates(model, refit(sample.weighted(random.standard_gamma(ratio * weight) / ratio), centre))
        for _ in range(n_replicates)
    ]
    fitted, middle = estimates(model, params), estimates(model, centre)
    return Bootstrap(
        **{name: fitted[name] + (np.array([refit[name] for refit in refits]) - middle[name]) for name in fitted}
    )
