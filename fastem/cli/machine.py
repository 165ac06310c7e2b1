"""`fastem warmup` and `fastem bench`: what concerns the machine."""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from fastem.cli.app import app
from fastem.cli.commands import Command, tell
from fastem.cli.options import (
    AsJson,
    Covariance,
    choices,
)
from fastem.cli.terminal import (
    print_contest,
    print_json,
)


@app.command("warmup", cls=Command)
def warmup_command(
    covariances: Annotated[
        list[Covariance] | None,
        typer.Option(
            "--covariance", "--covariance-type", "-c", metavar="TYPE", show_default=False,
            help=f"Covariances: {choices(Covariance)}; may be given several times. By default all.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Compile the kernels ahead, so that the first fit and the first prediction need not wait for it.

    They are kept on disk for every later process; those that are found there are not compiled again.

    Example: [cyan]fastem warmup --covariance full --covariance diag[/]
    """
    from fastem import warmup

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warmup([kind.value for kind in covariances or Covariance], verbose=True)
    for warning in caught:
        tell("warning", str(warning.message))


@app.command("bench", cls=Command)
def bench_command(
    seconds: Annotated[
        float, typer.Option(min=0, metavar="S", help="About how long to measure, beside what compilation takes.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Measure fastem against scikit-learn, and whatever peers are installed, on this machine: two minutes.

    The time of an iteration of EM from the same parameters, and the log-likelihood that is reached.

    Example: [cyan]fastem bench --json > bench.json[/]
    """
    from fastem.bench.contest import PROBLEMS, contest
    from fastem.bench.peers import PEERS
    from fastem.bench.versus import machine
    from fastem.fitting.thread_limits import telling_compilations_to

    def tell(line: str) -> None:
        typer.echo(line, err=True)

    usable = {name: peer for name, peer in PEERS.items() if peer.is_usable()}
    missing = [name for name in PEERS if name not in usable]
    with telling_compilations_to(tell):
        results = list(contest(PROBLEMS, usable, seconds, tell))
    facts = machine() | {"peers": {name: peer.version() for name, peer in usable.items()}, "not_installed": missing}
    if as_json:
        print_json({"machine": facts, "results": [result.to_dict() for result in results]})
    else:
        print_contest(results, facts)
