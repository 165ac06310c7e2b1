"""The key benchmarks over the project's own commits: `python -m benchmarks.history` measures, writes and draws.

Every landed change is measured in turn with one fixed commit, the first. What is kept is by how much it is faster: a
ratio of one run, to which noise is little and which needs no new measurement when commits are added. Numbers are
in docs/benchmarks/history.json; the table and the picture beside it are made of them.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import interleaved
from benchmarks.interleaved import ROOT, TREES, git
from benchmarks.key import COUNTS
from fastem._extras import require
from fastem.bench.versus import described, machine, rounded
from fastem.passes.cache import file_digest

PAGE = ROOT / "docs" / "benchmarks"
MEASURED = (
    "fit D=1 K=3",
    "fit D=8 K=16",
    "fit D=16 K=16 diag",
    "fit D=8 K=64 apart",
    "fit few rows",
    "fit .npy file",
    "fit online",
    "score_samples",
)
# What the first commit cannot do at all is measured against what comes nearest to it there.
STANDS_FOR = {"fit .npy file": "fit D=8 K=16", "fit online": "fit D=8 K=16"}
SECONDS = 1.0
# Rooms that no version compiles; where the others lie has changed.
NEVER_COMPILED = {"bench", "cli", "estimators", "executors", "plotting", "schedules", "sources"}


class Landed(NamedTuple):
    """A commit of the first-parent history of a branch, and the digest of the package in it."""

    commit: str
    date: str
    subject: str
    tree: str


def landed(branch: str, root: Path = ROOT) -> list[Landed]:
    """Every landed change, the first one first."""
    lines = git("log", "--first-parent", "--reverse", "--format=%h%x09%cs%x09%s", branch, root=root).splitlines()
    commits = [line.split("\t", 2) for line in lines]
    return [Landed(*commit, git("rev-parse", f"{commit[0]}:fastem", root=root)[:10]) for commit in commits]


def turned_into(home: Path, revision: str) -> Path:
    """Make a directory hold the package as of a revision; kernels stay for as long as what they are made of."""
    wanted = interleaved.checked_out(revision)
    before = _compiled(home)
    there = {path.relative_to(home) for path in (home / "fastem").rglob("*.py")}
    files = {path.relative_to(wanted) for path in (wanted / "fastem").rglob("*.py")}
    for name in there - files:
        (home / name).unlink()
    for name in files:
        # A file that is written anew is a new file to numba, whatever is in it.
        if name not in there or (home / name).read_bytes() != (wanted / name).read_bytes():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(wanted / name, home / name)
    if _compiled(home) != before:
        shutil.rmtree(home / "kernels", ignore_errors=True)
    return home


def _compiled(home: Path) -> str:
    """Digest of the sources that may be compiled into a pass."""
    sources = (home / "fastem").rglob("*.py")
    return file_digest(*sorted(path for path in sources if NEVER_COMPILED.isdisjoint(path.parent.parts)))


def measured(reference: Path, home: Path, seconds: float) -> dict[str, Any]:
    """How many times faster than the reference each benchmark is, and the counts."""
    with interleaved.versions([reference, home], [*MEASURED, *COUNTS]) as (base, head):
        ratios = {}
        for name in MEASURED:
            if name in head.answers:
                times = interleaved.measure(base, head, name, seconds, STANDS_FOR.get(name, name))
                ratios[name] = round(1.0 / times.ratio, 3)
        return {"times_faster": ratios, "counts": head.counts | {"bytes of kernels": head.kernel_bytes()}}


def with_new_commits(history: dict[str, Any], commits: list[Landed], seconds: float) -> Iterator[dict[str, Any]]:
    """The history with each commit added that is not in it; equal packages are measured once."""
    known = {entry["tree"]: entry for entry in history.get("commits", [])}
    reference = interleaved.checked_out(commits[0].commit)
    entries = []
    for commit in commits:
        is_new = commit.tree not in known
        values = known.get(commit.tree) or measured(reference, turned_into(TREES / "history", commit.commit), seconds)
        known[commit.tree] = values
        entries.append(commit._asdict() | {name: values[name] for name in ("times_faster", "counts")})
        # What is known of later commits would be lost with a history that ends among the known ones.
        if is_new or commit is commits[-1]:
            yield {"machine": machine(), "reference": commits[0].commit, "commits": entries}


# The page.


def steps(history: dict[str, Any]) -> list[dict[str, Any]]:
    """The commits that changed the package."""
    commits = history["commits"]
    return [
        now
        for before, now in zip([None, *commits], commits, strict=False)
        if not before or now["tree"] != before["tree"]
    ]


def page(history: dict[str, Any]) -> str:
    """The summary in Markdown: machine, last figures, and a line for each commit that changed the package."""
    commits, changed = history["commits"], steps(history)
    header = "| commit | date | " + " | ".join(MEASURED) + " | bytes of kernels | |"
    rows = [
        f"| {entry['commit']} | {entry['date']} | "
        + " | ".join(rounded(entry["times_faster"][name]) if name in entry["times_faster"] else "" for name in MEASURED)
        + f" | {entry['counts']['bytes of kernels']} | {entry['subject'].replace('|', ' ')} |"
        for entry in changed
    ]
    return _PAGE.format(
        n_commits=len(commits),
        n_changed=len(changed),
        machine=described(history["machine"], ()),
        reference=history["reference"],
        header=header,
        rule="|---|---|" + "--:|" * (len(MEASURED) + 1) + "---|",
        rows="\n".join(rows),
    )


_PAGE = """# Speed over the project's own history

How many times faster each landed change is than the first commit ({reference}), from fixed parameters and for a fixed
number of iterations: processor time, both in one run, call by call in turn, the median of the ratios of neighbours.
{n_commits} changes have landed, {n_changed} of them in the package.

![Times faster than the first commit](history.svg)

{machine}. The machine was shared while this was measured: differences of less than 10 % are none.

What the first commit cannot do (`fit .npy file`, `fit online`) is compared with its `fit D=8 K=16`, of fewer rows:
there only the course of the figures means something. *bytes of kernels*: machine code on disk for these benchmarks.

`python -m benchmarks.history` measures what landed since and writes this page again; what the benchmarks are:
[benchmarks/key.py](../../benchmarks/key.py). The numbers are in [history.json](history.json).

{header}
{rule}
{rows}
"""


def draw(history: dict[str, Any], path: Path) -> None:
    """The picture: a line for each benchmark over the commits that changed the package."""
    matplotlib = require("matplotlib", "plot", "the picture of the history")
    figure_module = require("matplotlib.figure", "plot", "the picture of the history")
    changed = steps(history)
    # Text stays text, and the same numbers give the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fastem", "font.size": 9}):
        figure = figure_module.Figure(figsize=(9, 5), layout="constrained")
        axes = figure.subplots()
        for name in MEASURED:
            points = [
                (n, entry["times_faster"][name]) for n, entry in enumerate(changed) if name in entry["times_faster"]
            ]
            axes.plot(*zip(*points, strict=True), marker=".", label=name, drawstyle="steps-post", linewidth=1.2)
        axes.set_xticks(range(len(changed)), [entry["commit"][:7] for entry in changed], rotation=90, fontsize=6)
        axes.set(yscale="log", xlabel="commit", ylabel="times faster than the first commit")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, ncols=2)
        figure.savefig(path, format="svg", metadata={"Date": None})


def write(history: dict[str, Any], directory: Path) -> None:
    """Numbers, page and picture."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "history.json").write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
    (directory / "README.md").write_text(page(history), encoding="utf-8")
    draw(history, directory / "history.svg")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("--branch", default="main", help="whose history (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each benchmark (default: %(default)s)")
    parser.add_argument("--anew", action="store_true", help="measure every commit again")
    given = parser.parse_args()
    numbers = PAGE / "history.json"
    known = {} if given.anew or not numbers.exists() else json.loads(numbers.read_text(encoding="utf-8"))
    # Written after each commit: an interrupted run goes on where it ended.
    for history in with_new_commits(known, landed(given.branch), given.seconds):
        last = history["commits"][-1]
        print(last["commit"], last["times_faster"], last["subject"], flush=True)
        write(history, PAGE)


if __name__ == "__main__":
    main()
