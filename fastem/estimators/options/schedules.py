"""How a fit learns: in which order E- and M-steps run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from fastem.estimators.options.base import Choice, Options
from fastem.fitting.batch import ACCELERATORS
from fastem.fitting.subsample import SampleSizes

_AT_LEAST_0 = Interval(Integral, 0, None, closed="left")
_AT_LEAST_1 = Interval(Integral, 1, None, closed="left")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Subsample(Options, SampleSizes):
    """How the samples grow on which batch EM converges before it reads all rows.

    Parameters
    ----------
    min_rows : int, default 1000000
        Fewer rows are fitted without samples.
    sample_rows : int, default 100000
        The largest sample has at least this number of rows,
    rows_per_parameter : int, default 1000
        and this number for each free parameter,
    part : int, default 8
        but no more than one row in so many.
    min_rows_per_parameter : int, default 50
        With fewer rows in the sample for each free parameter, there is none.
    growth : int, default 4
        Each sample is this many times larger than the one before.

    Raises
    ------
    ValueError
        For a value that is out of range.

    Examples
    --------
    >>> from fastem import Batch, GaussianMixture, Subsample
    >>> GaussianMixture(3, schedule=Batch(subsample=Subsample(min_rows=100_000)))
    GaussianMixture(n_components=3,
                    schedule=Batch(subsample=Subsample(min_rows=100000)))
    """

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "min_rows": [_AT_LEAST_1],
        "sample_rows": [_AT_LEAST_1],
        "rows_per_parameter": [_AT_LEAST_0],
        "part": [_AT_LEAST_1],
        "min_rows_per_parameter": [_AT_LEAST_0],
        "growth": [Interval(Integral, 2, None, closed="left")],
    }


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Batch(Options):
    """Batch EM: each iteration reads all rows, and then moves the parameters.

    Parameters
    ----------
    acceleration : {"auto", "squarem", "anderson"} or None, default "auto"
        How steps that are worth many iterations are found, once the first, quick gains are made: by squared
        extrapolation, or by mixing the last ten iterations; "auto" mixes where there are no more than 32 free
        parameters. A step that would lower the objective is undone. None: plain EM.
    subsample : "auto", None or Subsample, default "auto"
        EM of a million rows or more first converges on samples of growing size; each pass over all rows is then
        corrected by how much their statistics differ from those of the largest sample. Stopping rule and objective are
        those of all rows. "auto": unless `acceleration` is None. Mixtures only.
    bins : int or None, default None
        For one feature and very many rows: iterate on this number of bins first (4096, say; at least 32 for each
        component), until convergence, and on all rows from there: mostly three or four iterations. Stopping rule and
        objective are those of all rows; `max_iter` bounds either stage. `GaussianMixture` only.

    Raises
    ------
    ValueError
        For a value that is out of range, and for bins with a subsample.

    Examples
    --------
    >>> from fastem import Batch, GaussianMixture
    >>> mixture = GaussianMixture(2, schedule=Batch(acceleration="squarem"))
    >>> mixture.set_params(schedule__acceleration=None).schedule
    Batch(acceleration=None)
    """

    acceleration: str | None = "auto"
    subsample: str | Subsample | None = "auto"
    bins: int | None = None

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "acceleration": [StrOptions(set(ACCELERATORS)), None],
        "bins": [_AT_LEAST_1, None],
    }
    _choices: ClassVar[dict[str, Choice]] = {"subsample": Choice((Subsample,), {"auto": Subsample(), None: None})}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bins is not None and isinstance(self.subsample, Subsample):
            raise ValueError("Batch takes bins or a subsample, not both: either stands for the rows at first.")

    def sampling(self) -> Subsample | None:
        """How samples grow; None without samples."""
        if self.subsample == "auto":
            return None if self.acceleration is None else Subsample()
        return self.subsample  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Online(Options):
    """Online (stepwise) EM: parameters move after each batch of shuffled rows, along a running average of statistics.

    Quickest from a poor start. An iteration is an epoch, `tol` bounds what an epoch gains on held-out rows, and the
    objective of the result takes one more pass. `partial_fit` learns in this way, too.

    Parameters
    ----------
    batch_size : int or None, default None
        Rows of a batch; None stands for 2000, or fewer when there are few rows.
    decay, offset : float, default 0.6 and 2
        Steps are (t + offset) ** -decay after t batches; decay in (0.5, 1], offset at least 1.
    averaging_start : int or None, default None
        Number of updates after which statistics are averaged, and the estimate is made of the average. Before the
        parameters have settled this does harm. None: never.
    forgetting_factor : float or None, default None
        For streams that drift: every row is discounted by this factor, near 1, for each row that follows, and each
        component by its own rows. It takes the place of decay and offset.
    half_life : float or None, default None
        The same, as the number of rows after which a row counts half.
    on_drift : callable or None, default None
        Called with the estimator when the rows are found to have changed (test of Page & Hinkley on how well each
        batch was predicted); see also `fit_report_.online.alarms`.

    Raises
    ------
    ValueError
        For a value that is out of range, and for options that exclude each other.

    References
    ----------
    Cappé & Moulines (2009), J. R. Statist. Soc. B 71, 593-613.

    Examples
    --------
    >>> from fastem import GaussianMixture, Online
    >>> mixture = GaussianMixture(2, schedule=Online(batch_size=500))
    >>> mixture.get_params()["schedule__batch_size"]
    500
    """

    batch_size: int | None = None
    decay: float = 0.6
    offset: float = 2.0
    averaging_start: int | None = None
    forgetting_factor: float | None = None
    half_life: float | None = None
    on_drift: Callable[[Any], Any] | None = None

    _constraints: ClassVar[dict[str, list[Any]]] = {
        "batch_size": [_AT_LEAST_1, None],
        "decay": [Interval(Real, 0.5, 1.0, closed="right")],
        "offset": [Interval(Real, 1.0, None, closed="left")],
        "averaging_start": [_AT_LEAST_0, None],
        "forgetting_factor": [Interval(Real, 0.0, 1.0, closed="neither"), None],
        "half_life": [Interval(Real, 0.0, None, closed="neither"), None],
        "on_drift": [callable, None],
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.forgetting_factor is not None and self.half_life is not None:
            raise ValueError("forgetting_factor and half_life say the same thing in two ways. Give one of them.")
        forgets = self.forgetting_factor is not None or self.half_life is not None
        if forgets and (self.decay, self.offset) != (Online.decay, Online.offset):
            raise ValueError(
                "decay and offset are not in force with forgetting_factor or half_life, which take their place. "
                "Leave out one or the other."
            )


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Incremental(Options):
    """Incremental EM: parameters move after each block of rows, in the order of the data.

    The statistics of all blocks are kept; there is no step size, and rows may be sorted. An iteration is an epoch. It
    has no options: blocks have about N^(3/5) rows.

    References
    ----------
    Neal & Hinton (1998), in *Learning in Graphical Models*, 355-368.

    Examples
    --------
    >>> from fastem import GaussianMixture, Incremental
    >>> GaussianMixture(2, schedule=Incremental())
    GaussianMixture(n_components=2, schedule=Incremental())
    """


_PLAIN = Batch(acceleration=None, subsample=None)
CHAIN_SCHEDULES = Choice((Batch, Incremental), {"batch": Batch(), "plain": _PLAIN, "incremental": Incremental()})
SCHEDULES = Choice((*CHAIN_SCHEDULES.kinds, Online), {**CHAIN_SCHEDULES.words, "online": Online()})
