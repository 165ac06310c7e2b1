"""Models and the states of their fits, as arrays of files and back: nothing that no model has is let in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from fastem.executors.reduction import EpochState
from fastem.families.gaussian.location_scatter import LocationScatter
from fastem.fitting.notes import RaceNote, RunNote, SwapNote
from fastem.fitting.runs import Search
from fastem.model import Model, Params, zero_stats
from fastem.passes.backend import Partial
from fastem.passes.lanes import n_lanes
from fastem.passes.rows import plain
from fastem.schedules.accelerate.anderson import AndersonState
from fastem.schedules.accelerate.automatic import AutomaticState
from fastem.schedules.accelerate.protocol import Progress
from fastem.schedules.accelerate.squarem import SquaremState
from fastem.schedules.incremental import IncrementalState
from fastem.schedules.online import EpochEnd, OnlineState, RepairSpan
from fastem.schedules.prequential import PageHinkley, Prequential
from fastem.schedules.result import Ending, FitResult, FitState, Reason, Trace
from fastem.schedules.subsample import ControlVariateState
from fastem.stats import ExpectedStats, Repair

# Attributes that tell of a fit.
STORY = ("converged_", "stop_reason_", "n_iter_", "n_steps_", "lower_bound_", "lower_bounds_")
# Names of what a model was told by data and by its user, and which of these are not negative.
_CONSTRAINTS = (
    "variance_floor", "data_covariance", "penalty", "prior_mean", "prior_mean_rows", "prior_covariance", "prior_rows",
    "own_prior_means", "own_prior_mean_rows", "own_prior_scatter", "own_prior_rows", "fixed_means", "fixed_covariances",
    "mean_floor", "n_categories", "n_counts", "covariate_means", "covariate_scales", "pooled_values",
    "pooled_dispersion", "dispersion_floor",
)  # fmt: skip
_STRUCTURE = ("allowed", "allowed_start")
_POSITIVE = (
    "variance_floor", "penalty", "prior_mean_rows", "prior_rows", "own_prior_mean_rows", "own_prior_rows", "mean_floor",
    "covariate_scales", "pooled_dispersion", "dispersion_floor",
)  # fmt: skip
_MOST_CATEGORIES = 10**8
# What states of fits and of streams are made of, besides the records of a model.
_STATES = (
    Search, EpochState, Partial, RunNote, RaceNote, SwapNote, FitResult, FitState, Ending, Trace, Repair, Params,
    ExpectedStats, IncrementalState, OnlineState, EpochEnd, RepairSpan, Prequential, PageHinkley, AndersonState,
    AutomaticState, ControlVariateState, Progress, SquaremState,
)  # fmt: skip


def arrays_of(model: Model, params: Params) -> dict[str, np.ndarray]:
    """Parameters of a model, the limits that the data set and its structure, by the names that they have in files."""
    rooms = {
        "latent": params.latent._asdict(),
        "family": params.family._asdict(),
        "constraint": model.family.constraints(),
        "structure": model.latent.constraints(),
    }
    return {f"{room}/{name}": value for room, fields in rooms.items() for name, value in fields.items()}


def record_classes(model: Model) -> list[type]:
    """What the state of a fit, or of a stream, of this model is made of."""
    latent, family = model.latent, model.family
    family_params = family.neutral_params(np.zeros(family.n_features))
    records = [latent.uniform(), latent.zero_stats()]
    records += [family_params, family.zero_stats_like(family_params)]
    return [*_STATES, *(type(record) for record in records)]


def _under(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _record(pattern: Any, fields: dict[str, np.ndarray]) -> Any:
    for name, expected in pattern._asdict().items():
        require_field(name, fields[name], expected)
    return type(pattern)(**{name: plain(fields[name]) for name in pattern._fields})


def _made_anew(found: Any, made: Any) -> Any:
    """Parameters that were made of the primary arrays of a file, when these are what was read."""
    for name in ("weights", "startprob", "transmat", "means", "covariances", "values"):
        if hasattr(found, name) and not np.allclose(getattr(found, name), getattr(made, name), rtol=1e-6, atol=1e-300):
            raise ValueError(f"{name} holds values that no model has")
    return made


def _require_constraints(names: Any, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Limits and priors that a file holds; numbers of a closed list of names."""
    for name, field in found.items():
        plain_name = name.rpartition(".")[2]
        if plain_name not in names:
            raise ValueError(f"there is no constraint {name}")
        if plain_name in ("n_categories", "n_counts"):
            if field.dtype.kind not in "iu" or field.ndim > 1 or np.any(field < 1) or field.sum() > _MOST_CATEGORIES:
                raise ValueError(f"{name} must hold numbers of categories")
        elif plain_name.startswith("allowed"):
            if field.dtype != bool:
                raise ValueError(f"{name} must be true or false")
        elif (
            field.dtype.kind != "f"
            or np.any(np.isinf(field))
            or (not plain_name.startswith("fixed") and np.any(np.isnan(field)))
        ):
            raise ValueError(f"{name} must hold numbers")
        elif plain_name in _POSITIVE and np.any(field < 0):
            raise ValueError(f"{name} must not be negative")
    return found


def restored(
    arrays: dict[str, np.ndarray],
    make_family: Callable[[int], Any],
    make_latent: Callable[[dict[str, np.ndarray]], Any],
) -> tuple[Model, Params]:
    """The model of a file, and its parameters; of the family for so many features, and the latent structure of arrays.

    Raises
    ------
    KeyError, ValueError, and others
        For arrays that are missing, or that no model has.
    """
    _, n_features = arrays["family/means"].shape
    if n_features < 1:
        raise ValueError("means has no columns")
    constraints = _require_constraints(_CONSTRAINTS, _under("constraint/", arrays))
    family = make_family(n_features).with_constraints(constraints)
    structure = _require_constraints(_STRUCTURE, _under("structure/", arrays))
    latent = replace(make_latent(_under("latent/", arrays)), **structure)
    model = Model(latent, family)
    _require_proper(model)
    # Any proper parameters tell which records to make, and which shapes to expect.
    patterns = Params(model.latent.uniform(), family.neutral_params(np.zeros(n_features)))
    params = Params(*(_record(pattern, _under(f"{room}/", arrays)) for room, pattern in patterns._asdict().items()))
    shares = latent.probabilities(params.latent)
    if any(np.any(share < 0) for share in shares):
        raise ValueError("probabilities are negative")
    _made_anew(params.latent, latent.params(*shares))
    params = Params(latent.rebuilt(params.latent), _made_anew(params.family, family.rebuilt(params.family)))
    if not all(is_proper(name, field) for record in params for name, field in record._asdict().items()):
        raise ValueError("parameters are out of range")
    return model, params


def _require_proper(model: Model) -> None:
    """Raise unless limits, priors and structure are those of so many components and features."""
    latent, family = model.latent, model.family
    if latent.is_chain:
        k = latent.n_components
        allowed, may_start = latent._may_follow(), latent._may_start()
        if allowed.shape != (k, k) or may_start.shape != (k,) or not (allowed.any(axis=1).all() and may_start.any()):
            raise ValueError("some state may not be left, or no state may come first")
    if isinstance(family, LocationScatter):
        d, of_all = family.n_features, family.covariance_shape()
        of_one = of_all if family.structure.is_shared else of_all[1:]
        expected = {
            "variance_floor": (d,), "data_covariance": of_one, "penalty": (), "prior_mean": (d,), "prior_mean_rows": (),
            "prior_covariance": of_one, "prior_rows": (), "fixed_means": (family.n_components, d),
            "fixed_covariances": of_all,
        }  # fmt: skip
        for name, shape in expected.items():
            value = getattr(family, name)
            if value is not None and np.shape(value) != shape:
                raise ValueError(f"{name} must have the shape {shape}, got {np.shape(value)}")
        for name in ("data_covariance", "prior_covariance"):
            if getattr(family, name) is not None:
                single = replace(family, n_components=1, variance_floor=None)
                single.params(np.zeros((1, d)), family.structure.as_single(getattr(family, name)))
    # What an M-step adds must be a number for each parameter.
    zero = family.zero_stats_like(family.neutral_params(np.zeros(family.n_features)))
    prior = family.prior_stats(1.0)
    if prior is not None and not (zero + prior).is_finite():
        raise ValueError("the priors are out of range")


def require_field(name: str, field: Any, expected: np.ndarray) -> None:
    """Raise unless a field is an array of finite numbers like another one; whole numbers must be the same.

    Raises
    ------
    ValueError
    """
    if not isinstance(field, np.ndarray) or field.shape != expected.shape or field.dtype != expected.dtype:
        raise ValueError(f"{name} is not an array of finite numbers of shape {expected.shape}")
    if not is_proper(name, field) or (expected.dtype.kind in "iu" and not np.array_equal(field, expected)):
        raise ValueError(f"{name} is not an array of finite numbers of shape {expected.shape}")


def is_proper(name: str, field: np.ndarray) -> bool:
    """Whether all numbers of a field of parameters or statistics are finite; logarithms may be those of zero."""
    is_logarithm = name.startswith("log_") or name == "slope"
    return bool(np.all(np.isfinite(field) | (is_logarithm & (field == -np.inf))))


def require_state(value: Any, kind: type, model: Model) -> None:
    """Raise unless the records of a state have the shapes of a model, however deep they lie.

    Raises
    ------
    ValueError
    """
    if not isinstance(value, kind):
        raise ValueError(f"it holds {type(value).__name__} where {kind.__name__} belongs")
    params = Params(model.latent.uniform(), model.family.neutral_params(np.zeros(model.family.n_features)))
    stats = model.latent.zero_stats(), model.family.zero_stats_like(params.family)
    patterns = {type(record): record for record in (*params, *stats)}
    _require_records(value, patterns, n_lanes(zero_stats(model, params)))


def _require_records(value: Any, patterns: dict[type, Any], most_lanes: int, lanes: tuple[int, ...] = ()) -> None:
    """`lanes` is the shape that a record of statistics has before its own: empty, or its number of lanes."""
    pattern = patterns.get(type(value))
    if pattern is not None:
        for name, expected in pattern._asdict().items():
            shape = np.shape(expected)
            if hasattr(pattern, "shared") and name not in pattern.shared:
                shape = (*lanes, *shape)
            like = expected if shape == np.shape(expected) else np.zeros(shape)
            require_field(name, getattr(value, name), like)
        return
    if isinstance(value, Partial):
        sums = (value.lanes.loglik, value.lanes.weight, value.lanes.zero_density)
        lanes = np.shape(value.lanes.loglik)
        are_some = len(lanes) == 1 and 1 <= lanes[0] <= most_lanes and lanes[0].bit_count() == 1
        if type(value.n_blocks) is not int or value.n_blocks < 0 or not are_some or any(s.shape != lanes for s in sums):
            raise ValueError("an unfinished sum does not have the lanes of this model")
    if isinstance(value, EpochState):
        counts = (value.n_rows, value.n_parts, value.part)
        if not all(type(n) is int and n >= 0 for n in counts) or len(value.nodes) != value.n_parts.bit_count():
            raise ValueError("an unfinished sum does not have the totals of its parts")
    if isinstance(value, Params | ExpectedStats) and not all(
        type(each) in patterns for each in (value.latent, value.family)
    ):
        raise ValueError("a record is not one of this model")
    if isinstance(value, dict):
        items = list(value.values())
    elif isinstance(value, list | tuple):
        items = list(value)
    elif is_dataclass(value):
        items = [getattr(value, field.name) for field in fields(value)]
    else:
        return
    for item in items:
        _require_records(item, patterns, most_lanes, lanes)


def checked_story(name: str, value: Any) -> Any:
    """What a file tells of a fit, of the type that a fit tells; ValueError for another."""
    if name == "converged_":
        is_right = type(value) is bool
    elif name == "stop_reason_":
        is_right = value in set(Reason)
    elif name in ("n_iter_", "n_steps_"):
        is_right = type(value) is int and value >= 0
    elif name == "lower_bound_":
        is_right = type(value) in (int, float)
    else:
        is_right = type(value) is list and all(type(each) in (int, float) for each in value)
    if not is_right:
        raise ValueError(f"{name} is {value!r}")
    return value
