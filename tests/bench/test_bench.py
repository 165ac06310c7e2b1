"""`fastem bench`: what is measured, what is told, and that a broken peer does no harm."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import fastem
from fastem.bench import comparison, versus
from fastem.bench.peers import PEERS, fit_ours
from fastem.cli import app

SMALL = (comparison.Problem(3_000, 2, 3), comparison.Problem(3_000, 3, 4, "diag"))
SKLEARN = {"scikit-learn": PEERS["scikit-learn"]}


@pytest.fixture
def small(monkeypatch):
    """The contest on few rows, against scikit-learn alone, in one round."""
    monkeypatch.setattr(comparison, "PROBLEMS", SMALL)
    monkeypatch.setattr(comparison, "SECONDS", 0.0)
    for name in set(PEERS) - set(SKLEARN):
        monkeypatch.delitem(PEERS, name)


def run(*arguments):
    result = CliRunner().invoke(app, ["bench", "--seconds", "0", *arguments], env={"COLUMNS": "80"})
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_table_has_a_line_for_each_problem_and_fits_a_terminal(small):
    result = run()
    lines = result.stdout.splitlines()
    for problem in SMALL:
        assert sum(str(problem) in line and "scikit-learn" in line for line in lines) == 1
        assert f"{problem}: fastem, scikit-learn" in result.stderr
    assert max(map(len, lines)) <= 80
    assert "…" not in result.stdout
    assert fastem.__version__ in result.stdout


def test_json_holds_what_the_table_shows_and_the_machine(small):
    told = json.loads(run("--json").stdout, parse_constant=lambda token: pytest.fail(f"{token} is not JSON"))
    assert [(result["n_features"], result["peer"]) for result in told["results"]] == [
        (2, "scikit-learn"),
        (3, "scikit-learn"),
    ]
    assert all(abs(result["difference"]) < 1e-9 for result in told["results"])
    assert told["machine"]["peers"] == {"scikit-learn": PEERS["scikit-learn"].version()}
    assert told["machine"]["cores"] >= 1


def test_peers_that_are_not_installed_are_named_with_the_remedy(small, monkeypatch):
    def absent():
        raise ImportError

    monkeypatch.setitem(PEERS, "absent", replace(PEERS["scikit-learn"], version=absent))
    assert "absent (pip install 'fastem[peers]')" in run().stdout
    assert json.loads(run("--json").stdout)["machine"]["not_installed"] == ["absent"]


def test_a_peer_that_fails_is_told_and_the_others_go_on():
    def fail(X, start, n_iter):
        raise RuntimeError("no such symbol")

    told = []
    peers = {"broken": replace(SKLEARN["scikit-learn"], fit=fail), **SKLEARN}
    results = list(comparison.comparison(SMALL[:1], peers, 0.0, told.append))
    assert [result.peer for result in results] == ["scikit-learn"]
    assert told[0].endswith("broken fails: RuntimeError: no such symbol")


def test_fewer_rows_for_a_slow_peer_and_no_line_for_what_it_cannot():
    slow = replace(SKLEARN["scikit-learn"], max_posteriors=3_000, limits={"diag": "cannot"}, own_start=True)
    (result,) = comparison.comparison(SMALL, {"slow": slow}, 0.0)
    assert result.problem.n_rows == 1_000
    assert result.difference is None


def test_a_wrong_peer_cannot_look_good(small):
    def stay(X, start, n_iter):
        return start

    (result,) = comparison.comparison(SMALL[:1], {"lazy": replace(SKLEARN["scikit-learn"], fit=stay)}, 0.0)
    assert result.difference > 1e-4


@pytest.mark.parametrize("problem", comparison.PROBLEMS, ids=str)
def test_problems_start_away_from_the_truth_and_overlap(problem):
    few = replace(problem, n_rows=4_000)
    X, start = few.rows(), few.start()
    reached = [comparison.log_likelihood(X, fit_ours(X, start, n_iter)) for n_iter in (1, 6)]
    assert comparison.log_likelihood(X, start) < reached[0] < reached[1]


def test_rounds_end_with_the_budget():
    calls = []
    versus.measure({"fastem": calls.append}, lambda fitted: 0.0, rounds=3, seconds=0.0)
    assert calls == [6, 1, 6, 1, 6, 1, 6]
    calls.clear()
    versus.measure({"fastem": calls.append}, lambda fitted: 0.0, rounds=3, seconds=0.0, budget=0.0)
    assert calls == [6, 1, 6]


def test_ratio_is_the_median_of_neighbours():
    pair = versus.Pair(10, versus.Outcome([1.0, 2.0, 100.0], -2.0), versus.Outcome([3.0, 8.0, 200.0], -2.02))
    assert pair.ratio == 3.0
    assert pair.ns_per_row == (2e8, 8e8)
    assert pair.log_likelihood_difference == pytest.approx(0.01)
    assert np.isfinite(pair.ratio)
