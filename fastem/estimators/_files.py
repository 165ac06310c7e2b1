"""Fitted estimators to and from files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fastem.families import KINDS, REGRESSIONS, Binomial, StudentT
from fastem.families.columns.records import ColumnParams
from fastem.families.gaussian.family import GaussianDiagParams
from fastem.fitting.archive import STORY, arrays_of, checked_story, record_classes, require_state, restored
from fastem.fitting.checkpoint import Checkpoint
from fastem.fitting.fixed import Fixed
from fastem.fitting.priors import Dirichlet, NormalInverseWishart
from fastem.fitting.report import RECORDS, FitReport
from fastem.fitting.stream import Stream
from fastem.persistence import ModelFileError, pack, read_archive, unpack, write_archive
from fastem.schedules.batch import Batch, Subsample
from fastem.schedules.incremental import Incremental
from fastem.schedules.online import Online
from fastem.search.options import Race, Restarts

OPTIONS = (
    Batch, Checkpoint, Dirichlet, Fixed, Incremental, NormalInverseWishart, Online, Race, Restarts, Subsample,
)  # fmt: skip
# What settings may hold: options, families, and parameters of one.
_RECORDS = (
    *OPTIONS, *KINDS.values(), *REGRESSIONS.values(), Binomial, StudentT, ColumnParams, GaussianDiagParams,
    *(each.params for each in StudentT.records.values()), *(each.record_type for each in REGRESSIONS.values()),
)  # fmt: skip

# What belongs to a run and to a machine, not to a model.
_FORGOTTEN = {"random_state", "checkpoint", "n_threads"}


def save(
    estimator: Any, path: str | Path, progress: Any = None, progress_arrays: dict[str, np.ndarray] | None = None
) -> None:
    """Write a fitted estimator, and the progress of an unfinished fit, packed for JSON, with its arrays."""
    known = estimator._require_known()
    arrays = {**(progress_arrays or {}), **arrays_of(known.model, known.params)}
    # What the model was made with, whatever was set since.
    settings = {**estimator.get_params(deep=False), **known.settings}
    settings = {name: _packed_setting(name, value, arrays) for name, value in settings.items()}
    fitted: dict[str, Any] = {name: getattr(estimator, name) for name in STORY if hasattr(estimator, name)}
    if hasattr(estimator, "fit_report_"):
        fitted["fit_report_"] = pack(estimator.fit_report_, "report", arrays)
    if hasattr(estimator, "feature_names_in_"):
        fitted["feature_names_in_"] = estimator.feature_names_in_.tolist()
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


def load_one_of(classes: dict[str, Any], path: str | Path) -> Any:
    """Read a fitted estimator of one of the given classes."""
    header, arrays = read_archive(path)
    try:
        with np.errstate(all="ignore"):
            estimator = _estimator_of(header, arrays, classes)
            model, params = restored(
                arrays,
                lambda n_features: estimator._make_family(n_features, estimator.n_components),
                estimator._latent_of,
            )
            estimator._adopt(model, params)
            _restore_story(estimator, header["fitted"], arrays, model.family.n_features)
            if "stream" in header:
                stream = unpack(header["stream"], arrays, [Stream, *record_classes(model)])
                require_state(stream, Stream, model)
                estimator._stream = stream
    except ModelFileError as error:
        raise ModelFileError(f"{path} {error}") from error
    except (
        KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError, MemoryError,
        ZeroDivisionError, np.linalg.LinAlgError,
    ) as error:  # fmt: skip
        raise ModelFileError(f"{path} is damaged, or was not written by fastem: {error!r}") from error
    return estimator


def _estimator_of(header: dict[str, Any], arrays: dict[str, np.ndarray], classes: dict[str, Any]) -> Any:
    if header.get("class") not in classes:
        raise ModelFileError(f"is damaged, or was not written by fastem: it is of no class {header.get('class')!r}.")
    estimator_class = classes[header["class"]]
    settings = {name: unpack(packed, arrays, _RECORDS) for name, packed in header["settings"].items()}
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


def _restore_story(estimator: Any, fitted: dict[str, Any], arrays: dict[str, np.ndarray], n_features: int) -> None:
    unknown = sorted(set(fitted) - {*STORY, "fit_report_", "feature_names_in_"})
    if unknown:
        raise ModelFileError(f"has fitted attributes {unknown} that this fastem does not know, or is damaged.")
    for name in STORY:
        if name in fitted:
            setattr(estimator, name, checked_story(name, fitted[name]))
    if "fit_report_" in fitted:
        estimator.fit_report_ = unpack(fitted["fit_report_"], arrays, RECORDS)
        if not isinstance(estimator.fit_report_, FitReport):
            raise ValueError("fit_report_ is no report")
    if "feature_names_in_" in fitted:
        names = fitted["feature_names_in_"]
        if not isinstance(names, list) or len(names) != n_features or not all(isinstance(n, str) for n in names):
            raise ValueError("feature_names_in_ must be the names of all features")
        estimator.feature_names_in_ = np.array(names, dtype=object)
