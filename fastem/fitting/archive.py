"""Fitted estimators to and from files."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastem.families import KINDS, StudentT
from fastem.families.columns.records import ColumnParams
from fastem.families.gaussian.family import GaussianDiagParams
from fastem.families.gaussian.location_scatter import LocationScatter
from fastem.fitting.notes import MoveNote, RaceNote, RunNote
from fastem.fitting.problem import EpochState
from fastem.fitting.report import FitReport
from fastem.fitting.runs import Search
from fastem.fitting.stream import Stream
from fastem.model import Model, Params, Partial, zero_stats
from fastem.passes.lanes import n_lanes
from fastem.passes.rows import plain
from fastem.persistence import ModelFileError, pack, read_archive, unpack, write_archive
from fastem.schedules.accelerate.anderson import AndersonState
from fastem.schedules.accelerate.automatic import AutomaticState
from fastem.schedules.accelerate.protocol import Progress
from fastem.schedules.accelerate.squarem import SquaremState
from fastem.schedules.drift import PageHinkley
from fastem.schedules.grow import CorrectionState
from fastem.schedules.incremental import IncrementalState
from fastem.schedules.online import EpochEnd, OnlineState, RescueSpan
from fastem.schedules.prequential import Prequential
from fastem.schedules.result import Ending, FitResult, FitState, Reason, Trace
from fastem.stats import ExpectedStats, Rescue

_STORY = ("converged_", "stop_reason_", "n_iter_", "n_steps_", "lower_bound_", "lower_bounds_")

# Names of what a model was told by data and by its user, and which of these are not negative.
_CONSTRAINTS = (
    "variance_floor", "data_covariance", "penalty", "prior_mean", "prior_mean_rows", "prior_covariance", "prior_rows",
    "own_prior_means", "own_prior_mean_rows", "own_prior_scatter", "own_prior_rows", "fixed_means", "fixed_covariances",
    "mean_floor", "n_categories",
)  # fmt: skip
# What settings may hold besides options: families, and parameters of one.
_FAMILIES = (
    *KINDS.values(), StudentT, ColumnParams, GaussianDiagParams, *(each.params for each in StudentT.records.values()),
)  # fmt: skip
_STRUCTURE = ("allowed", "allowed_start")
_POSITIVE = (
    "variance_floor", "penalty", "prior_mean_rows", "prior_rows", "own_prior_mean_rows", "own_prior_rows", "mean_floor",
)  # fmt: skip
_MOST_CATEGORIES = 10**8

# What belongs to a run and to a machine, not to a model.
_FORGOTTEN = {"random_state", "checkpoint", "n_threads"}


def save(
    estimator: Any, path: str | Path, progress: Any = None, progress_arrays: dict[str, np.ndarray] | None = None
) -> None:
    """Write a fitted mixture estimator, and the progress of an unfinished fit, packed for JSON, with its arrays."""
    settings: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {} if progress_arrays is None else dict(progress_arrays)
    # What the model was made with, whatever was set since.
    for name, value in {**estimator.get_params(deep=False), **estimator._require_known().settings}.items():
        settings[name] = _packed_setting(name, value, arrays)
    fitted: dict[str, Any] = {name: getattr(estimator, name) for name in _STORY if hasattr(estimator, name)}
    if hasattr(estimator, "fit_report_"):
        fitted["fit_report_"] = estimator.fit_report_.to_dict()
    if hasattr(estimator, "feature_names_in_"):
        fitted["feature_names_in_"] = estimator.feature_names_in_.tolist()
    for room in ("latent", "family"):
        record = getattr(estimator._params, room)
        arrays.update({f"{room}/{name}": value for name, value in record._asdict().items()})
    model = estimator._model
    arrays.update({f"constraint/{name}": value for name, value in model.family.constraints().items()})
    arrays.update({f"structure/{name}": value for name, value in model.latent.constraints().items()})
    header = {"class": type(estimator).__name__, "settings": settings, "fitted": fitted}
    if progress is not None:
        header["progress"] = progress
    if getattr(estimator, "_stream", None) is not None:
        header["stream"] = pack(estimator._stream, "stream", arrays)
    write_archive(path, header, arrays)


def _packed_setting(name: str, value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """A setting for JSON, with arrays beside it, and without what belongs to a run."""
    if name in _FORGOTTEN and not (name == "random_state" and isinstance(value, int | np.integer)):
        return None
    if hasattr(value, "on_drift"):
        value = replace(value, on_drift=None)
    return pack(value, f"setting/{name}", arrays)


def load(path: str | Path, classes: dict[str, type], kinds: dict[str, type]) -> Any:
    """Read a fitted estimator of one of the given classes, with records of options of the given kinds."""
    header, arrays = read_archive(path)
    try:
        with np.errstate(all="ignore"):
            estimator = _estimator_of(header, arrays, classes, kinds)
            _restore(estimator, header["fitted"], arrays)
            if "stream" in header:
                stream = unpack(header["stream"], arrays, record_classes(estimator._model))
                require_state(stream, Stream, estimator._model)
                estimator._stream = stream
    except ModelFileError as error:
        raise ModelFileError(f"{path} {error}") from error
    except (
        KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError, MemoryError,
        ZeroDivisionError, np.linalg.LinAlgError,
    ) as error:  # fmt: skip
        raise ModelFileError(f"{path} is damaged, or was not written by fastem: {error!r}") from error
    return estimator


def _estimator_of(
    header: dict[str, Any], arrays: dict[str, np.ndarray], classes: dict[str, type], kinds: dict[str, type]
) -> Any:
    """An estimator of a class that is known, with settings that it has."""
    if header.get("class") not in classes:
        raise ModelFileError(f"is damaged, or was not written by fastem: it is of no class {header.get('class')!r}.")
    estimator_class: Any = classes[header["class"]]
    known = (*kinds.values(), *_FAMILIES)
    settings = {name: unpack(packed, arrays, known) for name, packed in header["settings"].items()}
    unknown = sorted(set(settings) - set(estimator_class._get_param_names()))
    if unknown:
        raise ModelFileError(
            f"has settings {unknown} that {estimator_class.__name__} of this fastem does not know. It was written by "
            "another version, or is damaged."
        )
    for name, value in settings.items():
        if name in _FORGOTTEN and not (value is None or (name == "random_state" and type(value) is int)):
            raise ValueError(f"{name} is {value!r}, which is never written")
    estimator = estimator_class(**settings)
    estimator._validate_params()
    return estimator


def record_classes(model: Model) -> list[type]:
    """What the state of a fit, or of a stream, of this model is made of."""
    latent, family = model.latent, model.family
    family_params = family.first_look(np.zeros(family.n_features))
    records = [latent.uniform(), latent.zero_stats()]
    records += [family_params, family.zero_stats_like(family_params)]
    known = [
        Search,
        EpochState,
        Partial,
        RunNote,
        RaceNote,
        MoveNote,
        FitResult,
        FitState,
        Ending,
        Trace,
        Rescue,
        Params,
        ExpectedStats,
        IncrementalState,
        OnlineState,
        AndersonState,
        AutomaticState,
        CorrectionState,
        Progress,
        SquaremState,
    ]
    return [*known, Stream, EpochEnd, RescueSpan, Prequential, PageHinkley, *(type(record) for record in records)]


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
        if plain_name == "n_categories":
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


def _restore(estimator: Any, fitted: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    _, n_features = arrays["family/means"].shape
    if n_features < 1:
        raise ValueError("means has no columns")
    constraints = _require_constraints(_CONSTRAINTS, _under("constraint/", arrays))
    family = estimator._make_family(n_features, estimator.n_components).constrained(constraints)
    structure = _require_constraints(_STRUCTURE, _under("structure/", arrays))
    latent = replace(estimator._latent_of(_under("latent/", arrays)), **structure)
    model = Model(latent, family)
    _require_proper(model)
    # Any proper parameters tell which records to make, and which shapes to expect.
    patterns = Params(model.latent.uniform(), family.first_look(np.zeros(n_features)))
    params = Params(*(_record(pattern, _under(f"{room}/", arrays)) for room, pattern in patterns._asdict().items()))
    shares = latent.probabilities(params.latent)
    if any(np.any(share < 0) for share in shares):
        raise ValueError("probabilities are negative")
    _made_anew(params.latent, latent.params(*shares))
    params = Params(latent.rebuilt(params.latent), _made_anew(params.family, family.rebuilt(params.family)))
    if not all(is_proper(name, field) for record in params for name, field in record._asdict().items()):
        raise ValueError("parameters are out of range")
    estimator._adopt(model, params)
    for name in _STORY:
        if name in fitted:
            setattr(estimator, name, _checked_story(name, fitted[name]))
    unknown = sorted(set(fitted) - {*_STORY, "fit_report_", "feature_names_in_"})
    if unknown:
        raise ModelFileError(f"has fitted attributes {unknown} that this fastem does not know, or is damaged.")
    if "fit_report_" in fitted:
        estimator.fit_report_ = FitReport.from_dict(fitted["fit_report_"])
    if "feature_names_in_" in fitted:
        names = fitted["feature_names_in_"]
        if not isinstance(names, list) or len(names) != n_features or not all(isinstance(n, str) for n in names):
            raise ValueError("feature_names_in_ must be the names of all features")
        estimator.feature_names_in_ = np.array(names, dtype=object)


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
    zero = family.zero_stats_like(family.first_look(np.zeros(family.n_features)))
    prior = family.prior_stats(1.0)
    if prior is not None and not (zero + prior).is_finite():
        raise ValueError("the priors are out of range")


def _checked_story(name: str, value: Any) -> Any:
    """What a fit told, of the type that it tells."""
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
    params = Params(model.latent.uniform(), model.family.first_look(np.zeros(model.family.n_features)))
    stats = model.latent.zero_stats(), model.family.zero_stats_like(params.family)
    n = n_lanes(zero_stats(model, params))
    patterns = {type(record): record for record in (*params, *stats)}
    _require_records(value, patterns, n, False)


def _require_records(value: Any, patterns: dict[type, Any], n_lanes: int, in_lanes: bool) -> None:
    pattern = patterns.get(type(value))
    if pattern is not None:
        for name, expected in pattern._asdict().items():
            shape = np.shape(expected)
            if in_lanes and name not in getattr(pattern, "shared", ()):
                shape = (n_lanes, *shape)
            like = expected if shape == np.shape(expected) else np.zeros(shape)
            require_field(name, getattr(value, name), like)
        return
    if isinstance(value, Partial):
        sums = (value.lanes.loglik, value.lanes.weight, value.lanes.impossible)
        if type(value.n_blocks) is not int or value.n_blocks < 0 or any(np.shape(s) != (n_lanes,) for s in sums):
            raise ValueError("an unfinished sum does not have the lanes of this model")
        in_lanes = True
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
        _require_records(item, patterns, n_lanes, in_lanes)
