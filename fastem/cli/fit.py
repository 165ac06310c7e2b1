"""`fastem fit`: a model from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastem.cli.app import app
from fastem.cli.commands import INTERRUPTED, Command, notify
from fastem.cli.inputs import open_rows, refuse, require_beside, require_outputs
from fastem.cli.options import (
    COVARIANCES,
    STARTS,
    AsJson,
    Learning,
    Rows,
    WeightColumn,
    choice,
    count_or,
    flag,
    option,
    place,
    with_records,
)
from fastem.cli.tables import criteria_facts, data_facts, describe, print_model
from fastem.cli.terminal import print_json, written_facts
from fastem.cli.words import showing_warnings

if TYPE_CHECKING:
    from fastem.estimators._em import BaseEM

NOT_CONVERGED = 3


@dataclass(frozen=True)
class Course:
    """How EM goes through the rows, and what is kept on the way."""

    online: Annotated[
        bool, flag("--online", "Online EM: updates after each batch of shuffled rows; quickest from a poor start.")
    ] = False
    incremental: Annotated[
        bool, flag("--incremental", "Incremental EM: updates after each block of rows, in any order.")
    ] = False
    batch_size: Annotated[int | None, option("Rows per batch, with --online. By default up to 2000.", "N", min=1)] = (
        None
    )
    half_life: Annotated[
        float | None, option("With --online: number of further rows after which a row counts half.", "ROWS")
    ] = None
    bins: Annotated[
        int | None, option("Number of bins of one column to fit first, such as 4096; all rows last.", "BINS", min=1)
    ] = None
    checkpoint: Annotated[Path | None, place("Keep the state of the fit in this file, to resume it.", "FILE")] = None
    checkpoint_interval: Annotated[
        float | None, option("Minimum time between two checkpoints. By default 60.", "SECONDS", min=0)
    ] = None
    resume: Annotated[bool, flag("--resume", "Continue from the checkpoint, if there is one.")] = False

    def settings(self) -> dict[str, Any]:
        """What the estimator is told; a wrong usage when options do not go together."""
        from fastem import Batch, Checkpoint, Online

        ways = {"--online": self.online, "--incremental": self.incremental, "--bins": self.bins is not None}
        chosen = [name for name, is_on in ways.items() if is_on]
        if len(chosen) > 1:
            raise typer.BadParameter(f"{' and '.join(chosen)} are different ways to learn. Give one of them.")
        of_online = {"--batch-size": self.batch_size, "--half-life": self.half_life}
        require_beside("--online", self.online, of_online)
        require_beside("--checkpoint", self.checkpoint, {"--checkpoint-interval": self.checkpoint_interval})
        if self.half_life is not None and not self.half_life > 0:
            raise typer.BadParameter(f"--half-life must be a positive number of rows, got {self.half_life:g}.")
        schedule: Any = "incremental" if self.incremental else "batch"
        if self.online:
            schedule = Online(batch_size=self.batch_size, half_life=self.half_life)
        elif self.bins is not None:
            schedule = Batch(bins=self.bins)
        every = {} if self.checkpoint_interval is None else {"every": self.checkpoint_interval}
        kept = self.checkpoint and Checkpoint(self.checkpoint, **every)
        return {"schedule": schedule, "checkpoint": kept}


@app.command("fit", cls=Command)
@with_records
def fit_command(
    rows: Rows,
    components: Annotated[int, option("Number of components.", "K", "--components", "-k", min=1, show_default=False)],
    learning: Learning,
    course: Course,
    covariance: Annotated[
        str | None, choice(COVARIANCES, "Covariances", "TYPE", "--covariance", "-c", end="; by default full.")
    ] = None,
    reg_covar: Annotated[float, option("Added to variances, in squared units of the data.", "X", min=0)] = 0.0,
    weight_column: WeightColumn = None,
    init: Annotated[
        str | None, choice(STARTS, "The start", "START", end=" (of one column); by default k-means++.")
    ] = None,
    n_init: Annotated[
        Any, count_or("auto", "Number of starts, of which the best is kept; auto: as many as cost little.", "N")
    ] = "auto",
    progress: Annotated[bool, flag("--progress", "Show a progress bar. Needs tqdm.")] = False,
    strict: Annotated[bool, flag("--strict", "Exit with code 3 when the fit has not converged.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fit a mixture to the rows of a file, and print its parameters.

    Examples:

    [cyan]fastem fit faithful.csv --components 2 --seed 0 --plot fit.png[/]

    [cyan]fastem fit rows.npy -k 16 --covariance diag --columns 0,2,5 --n-init 4 -o model.npz[/]

    [cyan]fastem fit 'data/*.parquet' -k 8 --memory 512MB --checkpoint fit.ckpt --resume --progress[/]

    [cyan]fastem fit large.parquet -k 50 --online --progress --output model.npz[/]

    [cyan]fastem fit column.npy -k 4 --bins 4096[/]

    [cyan]fastem fit visits.csv -k 3 --family poisson,categorical,normal --seed 0[/]

    [cyan]fastem fit houses.csv -k 2 --family linear --columns area,rooms,price --seed 0[/]

    [cyan]fastem fit days.csv -k 2 --hmm --columns return --sequence-column market --seed 0[/]

    Ctrl-C, SIGTERM and SIGHUP end the fit with the best model so far, which is printed and written; the exit code is
    130, 143 or 129. A second signal ends it at once.
    """
    from fastem.estimators._views import fitted_of
    from fastem.fitting.criteria import criteria_of

    if progress and learning.verbose:
        raise typer.BadParameter("--progress and --verbose are different ways to follow a fit. Give one of them.")
    settings = learning.settings(rows) | course.settings() | {"n_init": n_init}
    if progress:
        settings["verbose"] = 2
    require_outputs(rows, learning, course.checkpoint)
    learning.require_chain_for(rows)
    _refuse_what_is_not_in_force(learning, course, covariance, reg_covar, init)
    if learning.family is None:
        settings["covariance_type"] = covariance or "full"
    if init is not None:
        settings["init_params"] = init
    if reg_covar > 0.0:
        settings["reg_covar"] = reg_covar
    with showing_warnings(rows) as notices:
        source = open_rows(rows, weight_column)
        mixture = learning.estimator()(components, **settings)
        mixture.fit(source, resume=course.resume)
    _keep(mixture, source, learning)
    weight = mixture.fit_report_.weight
    is_exact = not (course.online or course.incremental) or mixture.stop_reason_ != "interrupted"
    criteria = {"weight": weight}
    if is_exact:
        criteria = criteria_of(fitted_of(mixture)[0], mixture.fit_report_.loglik * weight, weight)
    if as_json:
        found = {"file": rows.file, "n_rows": source.n_rows, **criteria, **describe(mixture)}
        print_json({**found, "written": learning.written})
    else:
        facts = data_facts(rows, source, weight) | criteria_facts(criteria) | written_facts(learning.written)
        print_model(mixture, source.labels, facts)
    for notice in notices:
        notify("warning", notice)
    if mixture.fit_report_.runs[-1].stop_reason == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if strict and not mixture.converged_:
        raise typer.Exit(NOT_CONVERGED)


def _refuse_what_is_not_in_force(
    learning: Learning, course: Course, covariance: str | None, reg_covar: float, init: str | None
) -> None:
    family, hmm, plot = learning.family, learning.hmm, learning.plot
    gaussian = {"--reg-covar": reg_covar > 0.0, "--bins": course.bins}
    if family is not None:
        refuse({"--covariance": covariance, **gaussian}, "for Gaussian mixtures only. Leave out --family, or this")
        if plot is not None and not hmm and not _have_curves(family):
            raise typer.BadParameter(
                "--plot: regressions, and counts of a given total or with an exposure, have no curve. Leave it out."
            )
    if hmm:
        others = {"--online": course.online, "--init": init, "--plot": plot}
        refuse({**gaussian, **others}, "for mixtures only. Leave out --hmm, or this")


def _have_curves(family: str) -> bool:
    """Whether some kind of column has one distribution to draw, the same in each row."""
    kinds = {kind.strip() for kind in family.split(",")}
    without = {"multinomial", "exposure", "linear"} | {kind for kind in kinds if kind.endswith("_regression")}
    return bool(kinds - without - ({"poisson"} if "exposure" in kinds else set()))


def _keep(mixture: BaseEM, source: Any, learning: Learning) -> None:
    if learning.output is not None:
        mixture.save(learning.output)
    if learning.plot is not None:
        from fastem.cli.output import draw

        draw(learning.plot, mixture, source)
