"""What the documents say runs."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
import subprocess
import sys
import types

import numpy as np
import pytest
import scipy.stats

from fastem import Batch, Mixture, Subsample, select
from fastem.sources import Chunk
from tests import naive
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    "module",
    [
        "fastem.estimators.gaussian_mixture",
        "fastem.estimators._uncertain",
        "fastem.estimators.mixture",
        "fastem.estimators.gaussian_hmm",
        "fastem.estimators.gmm_hmm",
        "fastem.estimators.column_hmms",
        "fastem.estimators.hmm",
        "fastem.estimators._fitted",
        "fastem.estimators._fitted_mixture",
        "fastem.estimators.imputer",
        "fastem.fitting.pooling",
        "fastem.plotting.missing",
        "fastem._naming",
        "fastem.estimators._histogram",
        "fastem.estimators._mixture",
        "fastem.fitting.priors",
        "fastem.fitting.checkpoint",
        "fastem.fitting.fixed",
        "fastem.schedules.batch",
        "fastem.schedules.incremental",
        "fastem.schedules.online",
        "fastem.search.options",
        "fastem.estimators._select",
        "fastem.families.columns.poisson",
        "fastem.families.columns.bernoulli",
        "fastem.families.columns.categorical",
        "fastem.families.columns.multinomial",
        "fastem.families.columns.exponential",
        "fastem.families.columns.gamma",
        "fastem.families.gaussian.family",
        "fastem.plotting.chain",
        "fastem.plotting.density",
        "fastem.plotting.fit",
    ],
)
def test_examples_of_docstrings(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


def read_page(name):
    return (ROOT / "docs" / name).read_text()


def run_page(name):
    """The names that the Python blocks of a page leave behind."""
    page = read_page(name)
    names = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, name, "exec"), names)
    return names


def test_python_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    assert sorted(names["mixture"].means_.ravel().round(-1)) == [20.0, 40.0]
    assert (tmp_path / "model.npz").exists()


def test_the_page_on_streaming(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    names = run_page("streaming.md")
    for model in ("quick", "steady", "last", "stream"):
        assert names[model].score(names["X"]) == pytest.approx(names["exact"].score(names["X"]), abs=0.01), model
    assert names["last"].n_iter_ <= names["exact"].n_iter_
    assert len(names["alarms"]) == 1
    assert np.sort(names["compressed"].means_, axis=0) == pytest.approx(
        np.sort(names["binned"].means_, axis=0), abs=0.1
    )
    commands = "".join(re.findall(r"```sh\n(.*?)```", read_page("streaming.md"), re.DOTALL)).splitlines()
    assert len(commands) == 5
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "fastem"
        subprocess.run([sys.executable, "-m", "fastem", *arguments], check=True, capture_output=True)
    assert (tmp_path / "labels.parquet").exists()


def test_the_page_on_sequences(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_page("hmm.md")
    order = names["hmm"].means_[:, 0].argsort()
    assert names["hmm"].means_[order] == pytest.approx(names["truth"].means_, abs=0.15)
    assert names["states"].shape == (3501,)
    assert names["forecast"].shape == (4, 2)
    assert names["smoothed"].sum(axis=1) == pytest.approx(1.0)


def test_the_page_on_a_family_of_ones_own(monkeypatch):
    # A NamedTuple and numba look for the module that a class or function is of.
    monkeypatch.setitem(sys.modules, "page", types.ModuleType("page"))
    names = run_page("user_families.md")
    hmm, truth, X = names["hmm"], names["truth"], names["X"]
    order = np.argsort(-hmm.params_.success)
    assert hmm.converged_
    assert hmm.params_.success[order] == pytest.approx(truth.family.success, abs=0.02)
    assert hmm.transmat_[order][:, order] == pytest.approx(truth.latent.transmat, abs=0.015)
    assert (order[names["states"]] == names["path"]).mean() > 0.9
    assert hmm.bic(X) < names["mixture"].bic(X)
    # Very many rows, which a sample starts, though it cannot lead them to the end; races and selections.
    few = Batch(subsample=Subsample(min_rows=1000, sample_rows=500))
    many = Mixture(names["Geometric"](), 2, random_state=0, n_init=3, schedule=few).fit(X)
    assert many.converged_
    assert many.fit_report_.n_rows_subsample > 0
    assert many.bic(X) == pytest.approx(names["mixture"].bic(X), abs=0.1)
    selection = select(X, Mixture(names["Geometric"](), schedule=few), n_components=[1, 2], random_state=0)
    assert selection.best_params_ == {"n_components": 2}
    # Against SciPy and the naive twin of chains.
    X, model = X[:300], names["chain"]
    emission = scipy.stats.geom.logpmf(X + 1, truth.family.success)
    expected = naive.chain(emission, truth.latent.startprob, truth.latent.transmat)
    smoothed = np.empty((300, 2))
    model.posterior(truth, X, smoothed)
    assert smoothed == pytest.approx(expected.smoothed, abs=1e-12)
    stats = model.e_step(truth, Chunk(X, None, 0))
    assert stats.latent.transitions == pytest.approx(expected.transitions, rel=1e-10)
    assert stats.family.failures == pytest.approx(expected.smoothed.T @ X[:, 0], rel=1e-12)
    # A fifth of the values are missing.
    gappy = names["gappy"]
    assert np.sort(gappy.params_.success) == pytest.approx(np.sort(truth.family.success), abs=0.03)
    filled = gappy.impute(names["gaps"])
    np.testing.assert_array_equal(filled[~np.isnan(names["gaps"])], names["gaps"][~np.isnan(names["gaps"])])
    share = names["mixture"].weights_
    densities = scipy.stats.geom.pmf(X + 1, names["mixture"].params_.success) @ share
    assert names["mixture"].score_samples(X) == pytest.approx(np.log(densities), rel=1e-10)


def test_the_page_on_uncertainty():
    names = run_page("uncertainty.md")
    spread = names["replicates"].standard_errors()
    assert spread.means == pytest.approx(names["errors"].means, rel=0.25)
    assert len(names["errors"].names) == 6
    assert names["apart"].means[0, 0] == pytest.approx(np.sqrt(2.0 / 2000), rel=0.25)
    assert names["together"].means[0, 0] == pytest.approx(np.sqrt((1.0 + 1.0 / 20) / 100), rel=0.3)


def test_the_page_on_missing_values():
    names = run_page("missing.md")
    assert names["normal"].fit_report_.missing.n_missing == (37, 7, 0, 0)
    assert not np.isnan(names["filled"]).any()
    assert 0.0 < names["pooled"].fraction_missing[2] < 0.6
    # Warm days have more ozone, windy ones less.
    low, high = names["pooled"].confidence_interval(0.95)
    assert high[1] < 0.0 < low[2]


def test_the_page_on_families(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_page("families.md")
    assert sorted(names["shifts"].rates_[:, 0].round()) == [2.0, 9.0]
    assert sorted(names["mixed"].means_[:, 0].round()) == [2.0, 9.0]
    assert sorted(names["mixed"].means_[:, 2].round(-1)) == [90.0, 180.0]


def test_the_page_on_regressions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_page("regression.md")
    order = np.argsort(names["homes"].coef_[:, 0])
    np.testing.assert_allclose(names["homes"].coef_[order], [[2.5, -2.0], [6.0, -0.5]], atol=0.2)
    np.testing.assert_allclose(np.sort(names["busy"].coef_[:, 0]), [0.01, 0.02], atol=0.002)
    np.testing.assert_allclose(np.sort(names["regimes"].coef_[:, 0]), [0.5, 1.5], atol=0.15)
    assert names["regimes"].transmat_.diagonal().min() > 0.95
    np.testing.assert_array_equal(names["grouped"].transmat_, np.eye(2))
    # All rows of a person tell its kind, where single ones do not.
    right = np.mean(names["of_person"] == names["responds"][::5])
    assert max(right, 1.0 - right) > 0.9


def test_the_page_on_local_optima():
    names = run_page("local_optima.md")
    assert names["freed"].lower_bound_ == pytest.approx(names["raced"].lower_bound_, abs=1e-3)


def test_the_page_on_convergence():
    mixture = run_page("convergence.md")["mixture"]
    assert mixture.means_[0, 0] == 20.0
    assert mixture.means_[1, 0] == pytest.approx(40.0, abs=0.3)


def test_the_page_on_selection(tmp_path, monkeypatch):
    names = run_page("select.md")
    assert names["selection"].best_params_["n_components"] == 3
    assert names["by_prediction"].best_params_["n_components"] == 3
    assert names["tested"].table[0]["blrt"] <= 0.05
    assert names["tested"].best_params_["n_components"] == 2
    (command,) = re.findall(r"```sh\n(.*?)\n```", read_page("select.md"), re.DOTALL)
    program, *arguments = shlex.split(command)
    assert program == "fastem"
    monkeypatch.chdir(tmp_path)
    arguments = [str(ROOT / argument) if "/" in argument else argument for argument in arguments]
    subprocess.run([sys.executable, "-m", "fastem", *arguments], check=True, capture_output=True)
    assert (tmp_path / "model.npz").exists()


def test_the_readme_has_two_commands_of_one_line():
    commands = [block.strip() for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)]
    assert len(commands) == 2
    assert all("\n" not in command and command.startswith("python3 -m venv .venv && ") for command in commands)
    assert "fastem fit examples/faithful.csv" in commands[0]
    assert commands[1].endswith("-m pytest -q -n 2 --dist worksteal")


def test_links_between_documents():
    broken = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"):
        targets = re.findall(r"\]\(([^)]+)\)", page.read_text())
        broken += [
            (page.name, target) for target in targets if "://" not in target and not leads_somewhere(page, target)
        ]
    assert broken == []


def leads_somewhere(page, target):
    """Whether the file that a page links to is there, and has the heading."""
    path, _, heading = target.partition("#")
    linked = page.parent / path if path else page
    if not linked.exists() or not heading:
        return linked.exists()
    titles = re.findall(r"^#+ (.+)$", linked.read_text(), flags=re.MULTILINE)
    return heading in [re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in titles]


def test_commands_of_ci_are_those_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    assert "pytest" not in script.replace("pytest's", ""), "CI takes the test command from the README"
