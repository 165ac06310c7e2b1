"""`fastem warmup` and `fastem bench`: what concerns the machine."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from fastem.cli.app import app
from fastem.cli.commands import Command, notify
from fastem.cli.options import AsJson, Covariances, flag, option
from fastem.cli.terminal import count, facts_table, grid, print_json, print_parts
from fastem.cli.words import note

if TYPE_CHECKING:
    from fastem.bench.comparison import Result


@app.command("warmup", cls=Command)
def warmup_command(
    covariances: Covariances = None,
    columns: Annotated[bool, flag("--columns", "Those of counts, categories and mixed columns.")] = False,
    hmm: Annotated[bool, flag("--hmm", "Also those of hidden Markov models.")] = False,
    float32: Annotated[bool, flag("--float32", "Also those that compute in float32, for many such rows.")] = False,
) -> None:
    """Compile the kernels ahead, so that the first fit and the first prediction need not wait for it.

    They are kept on disk for every later process; those that are found there are not compiled again. By default those
    of all mixtures: of Gaussians of each type of covariance, and of other columns.

    Examples:

    [cyan]fastem warmup --covariance full --covariance diag[/]

    [cyan]fastem warmup --columns --hmm[/]
    """
    from fastem import warmup

    families = [*(covariances or ()), *(["columns"] if columns else [])]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warmup(*([families] if families else []), hmm=hmm, float32=float32, verbose=True)
    for warning in caught:
        notify("warning", str(warning.message))


@app.command("bench", cls=Command)
def bench_command(
    seconds: Annotated[float, option("Approximate time to measure, without compilation.", "S", min=0)] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Measure fastem against scikit-learn, and whatever peers are installed, on this machine: two minutes.

    The time of an iteration of EM from the same parameters, and the log-likelihood that is reached.

    Example: [cyan]fastem bench --json > bench.json[/]
    """
    from fastem.bench.comparison import PROBLEMS, comparison
    from fastem.bench.peers import PEERS
    from fastem.bench.versus import machine
    from fastem.fitting.thread_limits import compilation_lines_to

    usable = {name: peer for name, peer in PEERS.items() if peer.is_usable()}
    missing = [name for name in PEERS if name not in usable]
    with compilation_lines_to(note):
        results = list(comparison(PROBLEMS, usable, seconds, note))
    facts = machine() | {"peers": {name: peer.version() for name, peer in usable.items()}, "not_installed": missing}
    if as_json:
        print_json({"machine": facts, "results": [result.to_dict() for result in results]})
    else:
        _print_comparison(results, facts)


def _print_comparison(results: Sequence[Result], machine: dict[str, Any]) -> None:
    from fastem.bench.versus import rounded

    table = grid("problem", "peer", "fastem", "peer", "ratio", "difference")
    table.columns[1].justify = "left"
    for result in results:
        difference = "own start" if result.difference is None else f"{result.difference:.0e}"
        numbers = [rounded(value) for value in (result.ours, result.theirs, result.ratio)]
        table.add_row(str(result.problem), result.peer, *numbers, difference)
    peers = ", ".join(f"{name} {version}" for name, version in machine["peers"].items())
    facts = {
        "problem": "D features, N rows, K components, type of covariance",
        "times": "ns per row and iteration; ratio: that of the peer / that of fastem",
        "difference": "relative, of the log-likelihoods that both reach from one start",
        "machine": f"{machine['processor']}, {count(machine['cores'], 'core')}, {machine['threads']} used by fastem",
        "versions": f"fastem {machine['fastem']}, numba {machine['numba']}, {peers}",
    }
    if machine["not_installed"]:
        facts["not installed"] = f"{', '.join(machine['not_installed'])} (pip install 'fastem[peers]')"
    print_parts(table, facts_table(facts))
