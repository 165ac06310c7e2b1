"""Fisher information of rows about the local parameters of a model, and standard errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from fastem._text import require_one_of
from fastem.contracts import HasGradients
from fastem.executors.reduction import add_each, reduced
from fastem.fitting.checks import Checked
from fastem.fitting.numeric import with_gradients
from fastem.fitting.problem import Problem
from fastem.fitting.scores import total_weight
from fastem.given import require_count
from fastem.model import Model, Params
from fastem.sources import Chunk, Source
from fastem.sources.segments import Segment, in_pieces, segments_of
from fastem.stats import ExpectedStats

KINDS = ("empirical", "observed", "robust")
_PIECE_NUMBERS = 2**20

# Least central difference of the gradient, in the units of tangents.
_DIFFERENCE = 1e-4

# Eigenvalues of the information, with a diagonal of ones, that are zero to rounding next to the largest one.
_SINGULAR = 1e-11


class Record(SimpleNamespace):
    """Named values that are read as attributes, and cannot be set."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is a result and cannot be changed.")


class ParameterArrays(Record):
    """Numbers for all parameters: an array for each fitted attribute, in its shape, by its name without underscore.

    For Gaussians: `weights`, `means` and `covariances`. A list of arrays stands for an attribute that is one.
    """


class StandardErrors(ParameterArrays):
    """Standard errors of all parameters.

    Attributes
    ----------
    weights, and means, covariances, rates or probabilities : ndarray, or list of these
        In the shapes of the fitted attributes. Of a fixed parameter it is zero.
    covariance_matrix : (P, P) ndarray
        Of all estimates. Its rank is the number of free parameters: the weights sum to one.
    names : tuple of str
        What its rows stand for: "weights[0]", "means[0, 1]", "covariances[1, 0, 0]" (lower triangles only),
        "probabilities[2][0, 1]", ...
    newton_distance : float
        How far the maximum of the likelihood lies from the fitted parameters, by one Newton step: the largest
        distance of any parameter, in its standard errors. NaN when a sample of the rows was read.
    """


def mapped(function: Callable[..., Any], *values: Any) -> Any:
    """The function of arrays, or of each array of lists of them; None stays."""
    if isinstance(values[0], list):
        return [mapped(function, *each) for each in zip(*values, strict=True)]
    return None if values[0] is None else function(*values)


class Information(NamedTuple):
    """Fisher information of the rows about the local parameters.

    Attributes
    ----------
    weight : float
        Of the rows.
    matrix : (P, P) ndarray
        Sum over rows of weight * gradient gradient'.
    gradient : (P,) ndarray
        Sum over rows of weight * gradient; zero at the maximum of the likelihood.
    n_gaps : int
        Pieces of the rows that miss values.
    """

    weight: float
    matrix: np.ndarray
    gradient: np.ndarray
    n_gaps: int


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
    n_tangents, n_columns = model.n_parameters(), model.latent.n_components * model.family.n_features
    step = max(1, _PIECE_NUMBERS // max(n_columns, model.family.free_tangents().size))

    def information_of(segment: Segment) -> list[Any]:
        total, matrix, gradient, n_gaps = 0.0, np.zeros((n_tangents, n_tangents)), np.zeros(n_tangents), 0
        for piece in in_pieces(segment.chunks, step):
            X = piece.X.astype(np.float64)
            weight = np.ones(len(X)) if piece.weight is None else piece.weight
            X, weight = X[weight > 0], weight[weight > 0]
            its_model, its_params = model.for_rows(params, piece.has_missing)
            n_gaps += piece.has_missing
            del piece
            if len(X) == 0:
                continue
            with np.errstate(over="ignore", invalid="ignore"):
                gradients = row_gradients(its_model, its_params, X)
                total += float(weight.sum())
                gradient += weight @ gradients
                # A product of a matrix with itself takes half the time, and is symmetric to the bit.
                gradients *= np.sqrt(weight)[:, None]
                matrix += gradients.T @ gradients
        return [total, matrix, gradient, n_gaps]

    information = Information(*reduced(information_of, segments_of(chunks), add_each))
    if not np.all(np.isfinite(information.matrix)):
        raise ValueError(_IMPOSSIBLE)
    return information


def row_gradients(model: Model, params: Params, X: np.ndarray) -> np.ndarray:
    """Derivatives (N, P) of the log-likelihood of each row (N, D), in nats, by tangents of the parameters.

    Fisher's identity: they are the expected derivatives of the complete data's.
    """
    resp = np.empty((len(X), model.latent.n_components))
    model.posterior(params, X, resp)
    if not np.all(resp.any(axis=1)):
        raise ValueError(_IMPOSSIBLE)
    of_family = model.family.gradients(params.family, X, resp)[:, model.family.free_tangents()]
    return np.concatenate([model.latent.gradients(params.latent, resp), of_family], axis=1)


_IMPOSSIBLE = "X holds rows of density zero, or nearly zero, under the model. Give the rows that it was fitted to."


def total_gradient(model: Model, params: Params, stats: ExpectedStats) -> np.ndarray:
    """Derivatives (P,) of the log-likelihood of all rows, from their expected statistics at `params`."""
    if stats.zero_density > 0:
        raise ValueError(_IMPOSSIBLE)
    of_family = model.family.gradient(params.family, stats.family)[model.family.free_tangents()]
    return np.concatenate([model.latent.gradient(params.latent, stats.latent), of_family])


def _divided(model: Model, tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tangents (..., P) of what is free: of the latent structure, and all of the family, zero where it is fixed."""
    free, n_latent = model.family.free_tangents(), model.latent.n_parameters()
    of_family = np.zeros((*tangents.shape[:-1], free.size))
    of_family[..., free] = tangents[..., n_latent:]
    return tangents[..., :n_latent], of_family


def at_tangent(model: Model, params: Params, tangent: np.ndarray) -> Params:
    """Parameters after a tangent (P,) of what is free."""
    of_latent, of_family = _divided(model, tangent)
    return Params(model.latent.at_tangent(params.latent, of_latent), model.family.at_tangent(params.family, of_family))


def observed_information(
    model: Model, params: Params, gradient_of: Callable[[Params], np.ndarray], of_a_row: np.ndarray | None = None
) -> np.ndarray:
    """Curvature (P, P) of the log-likelihood, by central differences of its gradient: two of these for each tangent.

    The gradient at a neighbour is taken in the neighbour's own tangents, which makes no difference at the maximum.

    Parameters
    ----------
    model, params
        As in `standard_errors`.
    gradient_of : callable
        The gradient (P,) of the log-likelihood of all rows at any parameters.
    of_a_row : (P,) ndarray, optional
        About what information a row has of each tangent: where it is large (of large counts, say), smaller tangents do.
    """

    def gradient_at(tangent: np.ndarray) -> np.ndarray:
        return gradient_of(at_tangent(model, params, tangent))

    # The error of the difference is of the order of its square, that of rounding falls with it.
    h = np.full(model.n_parameters(), max(_DIFFERENCE, float(np.cbrt(model.family.gradient_rounding(params.family)))))
    if of_a_row is not None:
        h /= np.sqrt(np.maximum(of_a_row, 1.0))
    curvature = np.array([gradient_at(-tangent) - gradient_at(tangent) for tangent in np.diag(h)]) / (2.0 * h[:, None])
    return 0.5 * (curvature + curvature.T)


def root_of_inverse(model: Model, information: np.ndarray) -> np.ndarray:
    """A matrix R with R R' = the inverse of an information matrix (P, P).

    Raises
    ------
    ValueError
        When it has none, naming the component.
    """
    tangent_components = np.concatenate(
        [model.latent.tangent_components(), model.family.tangent_components()[model.family.free_tangents()]]
    )
    diagonal = np.diagonal(information)
    flat = ~(diagonal > 0)
    if flat.any():
        raise ValueError(_undetermined(tangent_components[flat][0]))
    scale = np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(information / scale / scale[:, None])
    if values.size and not values[0] > _SINGULAR * values[-1]:
        raise ValueError(_undetermined(tangent_components[np.argmax(np.abs(vectors[:, 0]))]))
    return vectors / np.sqrt(values) / scale[:, None]


def require_interior(model: Model, params: Params) -> None:
    """Raise for parameters on the border of what the family allows, where standard errors mean nothing.

    Raises
    ------
    ValueError
        Naming the component.
    """
    for owner, words in model.family.at_boundary(params.family):
        raise ValueError(f"{_subject(owner)} {words}")


def _undetermined(owner: int) -> str:
    return (
        f"The rows do not determine the parameters of {_subject(owner).lower()}: the information about them is "
        "singular. Give more rows, or fit with fewer components or a simpler covariance_type."
    )


def _subject(owner: int) -> str:
    return "The shared covariance" if owner < 0 else f"Component {owner}"


def estimates(model: Model, params: Params) -> dict[str, Any]:
    """What is shown of the parameters, by name."""
    return {**model.latent.estimates(params.latent), **model.family.estimates(params.family)}


def scales_of(model: Model) -> dict[str, Any]:
    """The scale of each published parameter: "log", "logit" or "identity"."""
    return {**model.latent.scales(), **model.family.scales()}


def jvp(model: Model, params: Params, tangents: np.ndarray) -> dict[str, Any]:
    """What tangents (M, P) of what is free change in what is shown."""
    of_latent, of_family = _divided(model, tangents)
    return {**model.latent.jvp(params.latent, of_latent), **model.family.jvp(params.family, of_family)}


def require_rows(max_rows: Any) -> None:
    """Raise ValueError for what is no size of a sample, and not None, which stands for all rows."""
    if max_rows is not None:
        require_count("max_rows", max_rows, otherwise=" or None")


def standard_errors(
    model: Model,
    params: Params,
    rows: Source,
    kind: str,
    max_rows: int | None,
    generator: Callable[[], np.random.Generator],
) -> StandardErrors:
    """Standard errors from the information in rows, or in a sample that stands for them.

    A family that does not know its derivatives has them by differences, which takes many more passes over the rows.

    Parameters
    ----------
    model : Model
    params : Params
    rows : Source
    kind : {"empirical", "observed", "robust"}
        Whether their squared gradients make the information, or its curvature, or both.
    max_rows : int or None
        Of more rows a sample is read, which the generator draws.
    generator : callable

    Raises
    ------
    ValueError
        For parameters on a border, for rows of density zero, and when the rows do not determine a parameter.

    References
    ----------
    Louis (1982), J. R. Statist. Soc. B 44, 226-233; White (1982), Econometrica 50, 1-25.
    """
    require_one_of("information", kind, KINDS)
    require_rows(max_rows)
    family = model.family
    rows, ratio = _sampled(rows, family, max_rows, generator)
    known = model
    model = with_gradients(model)

    def gradient_of(params: Params) -> np.ndarray:
        if isinstance(family, HasGradients):
            reading, prepared = known.for_rows(params, n_gaps > 0)
            return total_gradient(model, params, Problem(reading, rows).e_step(prepared))
        return empirical_information(model, params, Checked(rows, family).chunks()).gradient

    require_interior(model, params)
    weight, matrix, gradient, n_gaps = empirical_information(model, params, Checked(rows, family).chunks())
    information = matrix
    if kind != "empirical":
        information = observed_information(model, params, gradient_of, np.diagonal(matrix) / max(weight, 1.0))
    root = root_of_inverse(model, ratio * information)
    # The gradient of a sample is not that of all rows.
    to_maximum = root @ (root.T @ gradient) if ratio == 1.0 else None
    if kind == "robust":
        values, vectors = np.linalg.eigh(ratio * matrix)
        root = root @ (root.T @ (vectors * np.sqrt(np.maximum(values, 0.0))))
    return _shown(model, params, root, to_maximum)


def _sampled(
    rows: Source, family: Any, max_rows: int | None, generator: Callable[[], np.random.Generator]
) -> tuple[Source, float]:
    """At most so many of the rows, and by how much the weight of all is larger than theirs."""
    if max_rows is None or (rows.n_rows is not None and rows.n_rows <= max_rows):
        return rows, 1.0
    weight = total_weight(Checked(rows, family).chunks())
    if rows.n_rows is not None and rows.n_rows <= max_rows:
        return rows, 1.0
    sample = rows.sample(max_rows, generator())
    return sample, weight / total_weight(sample.chunks())


def _shown(model: Model, params: Params, root: np.ndarray, to_maximum: np.ndarray | None) -> StandardErrors:
    """Standard errors of what is shown, when the covariance matrix of tangents is root root' (P, P)."""
    shown = jvp(model, params, root.T)
    errors = {name: mapped(_norm, change) for name, change in shown.items()}
    table, names = _table(model, shown)
    distance = np.nan
    size = _norm(table)
    if to_maximum is not None:
        way, _ = _table(model, jvp(model, params, to_maximum[None]))
        distance = float(ratio_of(np.abs(way[0]), size).max())
    correlation = ratio_of(table, size).T @ ratio_of(table, size)
    # The squares may overflow where the errors do not.
    with np.errstate(over="ignore"):
        matrix = correlation * size * size[:, None]
    return StandardErrors(**errors, covariance_matrix=matrix, names=names, newton_distance=distance)


def _table(model: Model, shown: dict[str, Any]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Changes (M, P) of all parameters that are shown, once each, and their names."""
    columns, names = [], list[str]()

    def add(name: str, change: np.ndarray, scale: np.ndarray) -> None:
        entries = np.argwhere(scale != "none")
        columns.append(change[:, *entries.T])
        names.extend(f"{name}[{', '.join(map(str, entry))}]" for entry in entries)

    for name, scale in scales_of(model).items():
        if isinstance(scale, list):
            for index, each in enumerate(scale):
                if each is not None:
                    add(f"{name}[{index}]", shown[name][index], each)
        else:
            add(name, shown[name], scale)
    return np.concatenate(columns, axis=1), tuple(names)


def _norm(change: np.ndarray) -> np.ndarray:
    """Root of the sum of squares along the first axis."""
    largest = np.abs(change).max(axis=0, initial=0.0)
    return largest * np.sqrt(np.square(ratio_of(change, largest)).sum(axis=0))


def ratio_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, and zero where b is."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b > 0)
