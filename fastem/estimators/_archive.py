"""Fitted estimators to and from files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fastem.estimators._problem import EpochState
from fastem.estimators._report import FitReport, MoveNote, RaceNote, RunNote
from fastem.estimators._search import Search
from fastem.estimators._streaming import Stream
from fastem.model import Model, Params, Partial
from fastem.persistence import ModelFileError, pack, read_archive, unpack, write_archive
from fastem.rows import plain
from fastem.schedules.accelerate import AndersonState, AutomaticState, Progress, SquaremState
from fastem.schedules.drift import PageHinkley
from fastem.schedules.grow import CorrectionState
from fastem.schedules.incremental import IncrementalState
from fastem.schedules.online import EpochEnd, OnlineState, RescueSpan
from fastem.schedules.prequential import Prequential
from fastem.schedules.result import FitResult, FitState, Trace
from fastem.stats import ExpectedStats, Rescue

_STORY = ("converged_", "stop_reason_", "n_iter_", "n_steps_", "lower_bound_", "lower_bounds_")

# What belongs to a run and to a machine, not to a model.
_FORGOTTEN = {"random_state", "checkpoint", "n_threads", "on_drift"}


def save(
    estimator: Any, path: str | Path, progress: Any = None, progress_arrays: dict[str, np.ndarray] | None = None
) -> None:
    """Write a fitted mixture estimator, and the progress of an unfinished fit, packed for JSON, with its arrays."""
    settings: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {} if progress_arrays is None else dict(progress_arrays)
    for name, value in estimator.get_params(deep=False).items():
        if name in _FORGOTTEN and not (name == "random_state" and isinstance(value, int | np.integer)):
            settings[name] = None
        elif isinstance(value, str | int | float | bool | np.generic | None):
            settings[name] = value.item() if isinstance(value, np.generic) else value
        else:
            arrays[f"setting/{name}"] = np.asarray(value)
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


def load(path: str | Path, classes: dict[str, type]) -> Any:
    """Read a fitted mixture estimator of one of the given classes."""
    header, arrays = read_archive(path)
    try:
        estimator_class = classes[header["class"]]
        estimator: Any = estimator_class(**header["settings"], **_under("setting/", arrays))
        estimator._validate_params()
        _restore(estimator, header["fitted"], arrays)
        if "stream" in header:
            estimator._stream = unpack(header["stream"], arrays, record_classes(estimator._model))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, np.linalg.LinAlgError) as error:
        raise ModelFileError(f"{path} is damaged, or was not written by fastem: {error!r}") from error
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
        field = fields[name]
        if field.shape != expected.shape or field.dtype != expected.dtype or not np.all(np.isfinite(field)):
            raise ValueError(f"{name} is not an array of finite numbers of shape {expected.shape}")
    return type(pattern)(**{name: plain(field) for name, field in fields.items()})


def _restore(estimator: Any, fitted: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    n_components, n_features = arrays["family/means"].shape
    family = estimator._make_family(n_features, n_components).constrained(_under("constraint/", arrays))
    latent = replace(estimator._latent_of(_under("latent/", arrays)), **_under("structure/", arrays))
    model = Model(latent, family)
    # Any proper parameters tell which records to make, and which shapes to expect.
    patterns = Params(model.latent.uniform(), family.first_look(np.zeros(n_features)))
    params = Params(*(_record(pattern, _under(f"{room}/", arrays)) for room, pattern in patterns._asdict().items()))
    estimator._adopt(model, params)
    for name, value in fitted.items():
        setattr(estimator, name, value)
    if "fit_report_" in fitted:
        estimator.fit_report_ = FitReport.from_dict(fitted["fit_report_"])
    if "feature_names_in_" in fitted:
        estimator.feature_names_in_ = np.array(fitted["feature_names_in_"], dtype=object)
