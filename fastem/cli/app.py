"""The command line's root: what `fastem --help` shows."""

from __future__ import annotations

from typing import Annotated

import typer

from fastem.cli.commands import Commands

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from fastem import __version__

        typer.echo(f"fastem {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: [bold]0[/] done; [bold]1[/] unusable file, data or option value (one line on stderr); "
    "[bold]2[/] wrong usage; [bold]3[/] not converged, under --strict; [bold]130[/] interrupted by Ctrl-C, "
    "[bold]143[/] by SIGTERM, [bold]129[/] by SIGHUP: [bold]fit[/] prints and writes the best model so far."
)
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Mixtures and hidden Markov models, fitted by expectation-maximisation at the speed of the hardware.

    A FILE holds rows of numbers, maybe more than memory holds: [bold].csv[/] (also [bold].csv.gz[/]; separated by
    commas, semicolons, tabs or spaces, with a header or without), [bold].npy[/], [bold].parquet[/], [bold].arrow[/],
    [bold].h5[/] or [bold].zarr[/]. It is read piece by piece. [bold]-[/] stands for the standard input.

    A MODEL is what [bold]fit --output[/] writes, and [bold]fastem.load[/] reads in Python.

    Example: [cyan]fastem fit faithful.csv --components 2 --output model.npz --plot fit.png[/]
    """
