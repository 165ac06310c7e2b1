"""Selection: known answers and published values, shared reads, sources, weights, held-out rows, pictures, errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from typer.testing import CliRunner

import fastem
from fastem import Batch, GaussianMixture, Mixture, Subsample, select
from fastem.cli import app
from fastem.executors.reduction import sums_over
from fastem.schedules.accelerate.squarem import Squarem
from fastem.schedules.batch import fit_batch
from fastem.schedules.result import FitState
from fastem.schedules.together import Course, fit_together
from fastem.search import candidates
from fastem.search.comparison import compare_held_out
from fastem.search.heldout import HeldOut, hold_out
from fastem.sources import ArraySource, as_source
from fastem.sources.holdout import WithoutRows
from fastem.sources.segments import segments_of
from fastem.starts.start import start_from_sample
from tests.cases import GAUSSIAN_CASES
from tests.conftest import ROOT

# Three clusters that lie far apart.
CENTRES = np.array([[0.0, 0.0], [12.0, 0.0], [0.0, 12.0]])
# Each type of covariance compiles kernels of its own: where the type is of no matter, these do.
# Those whose rows may be any.
CASES = GAUSSIAN_CASES
QUICK = {"covariance_types": ["full", "tied"], "random_state": 0, "n_threads": 1}


def clusters(n_rows=2000, seed=0):
    random = np.random.default_rng(seed)
    return CENTRES[random.choice(3, n_rows, p=[0.5, 0.3, 0.2])] + random.normal(size=(n_rows, 2))


def assert_same_table(a, b, rel=0.0):
    assert a.best_params_ == b.best_params_
    assert a.to_dict().keys() == b.to_dict().keys()
    for name, values in a.to_dict().items():
        if isinstance(values[0], float):
            np.testing.assert_allclose(values, b.to_dict()[name], rtol=rel, atol=0, err_msg=name)


# Answers.


@pytest.mark.parametrize("criterion", ["bic", "aic", "icl", "heldout"])
def test_clusters_that_lie_apart_are_counted(criterion):
    X = clusters()
    selection = select(X, n_components=range(1, 5), criterion=criterion, **QUICK)
    assert selection.best_params_ == {"n_components": 3, "covariance_type": "tied"}
    centres = selection.best_estimator_.means_
    np.testing.assert_allclose(centres[np.lexsort(centres.T)], CENTRES[np.lexsort(CENTRES.T)], atol=0.3)
    assert selection.best_score_ == selection.table[selection.best_index_][criterion]


def test_faithful_as_mclust_chooses(faithful):
    """EEE (tied), three components; the published BIC is of a fit that was stopped early."""
    selection = select(faithful, n_components=range(1, 6), random_state=0, prior=None, tol=1e-9)
    assert selection.best_params_ == {"n_components": 3, "covariance_type": "tied"}
    bic = {(row["covariance_type"], row["n_components"]): row["bic"] for row in selection.table}
    assert bic["tied", 3] == pytest.approx(2314.295678, abs=1e-4)
    assert bic["full", 2] == pytest.approx(2322.191743, abs=1e-4)
    assert selection.best_score_ < 2314.316
    loglik = {(row["covariance_type"], row["n_components"]): row["loglik"] for row in selection.table}
    for kind, value in {"tied": -1140.18675944, "diag": -1147.80635254, "spherical": -1709.52928218}.items():
        assert loglik[kind, 2] == pytest.approx(value, abs=1e-4)
    assert_no_larger_one_is_worse(selection)


def assert_no_larger_one_is_worse(selection):
    for kind in {row["covariance_type"] for row in selection.table}:
        loglik = np.array([row["loglik"] for row in selection.table if row["covariance_type"] == kind])
        assert np.all(np.diff(loglik) >= -1e-9 * np.abs(loglik[1:]))


def test_iris_as_mclust_chooses():
    X = load_iris().data
    selection = select(X, n_components=range(1, 5), covariance_types="full", random_state=0, prior=None, tol=1e-9)
    assert selection.best_params_["n_components"] == 2
    bic = [row["bic"] for row in selection.table]
    assert bic[1] == pytest.approx(574.0178, abs=1e-3)
    assert bic[2] <= 580.838907 + 1e-3
    assert_no_larger_one_is_worse(selection)


@pytest.mark.parametrize("criterion", ["caic", "sabic"])
def test_criteria_with_other_penalties_of_a_parameter(criterion):
    X = clusters()
    selection = select(X, n_components=[1, 2, 3], criterion=criterion, **QUICK)
    n = len(X)
    for row in selection.table:
        penalty = {"caic": np.log(n) + 1.0, "sabic": np.log((n + 2.0) / 24.0)}[criterion]
        assert row[criterion] == pytest.approx(-2.0 * row["loglik"] + row["n_parameters"] * penalty, rel=1e-12)
    best = selection.best_estimator_
    assert selection.best_score_ == pytest.approx(best.criteria(X)[criterion], rel=1e-10)


def test_the_entropy_of_components_of_rows():
    X = clusters()
    mixture = select(X, n_components=[2, 3], **QUICK).best_estimator_
    p, weight = mixture.predict_proba(X), np.resize([1.0, 2.0], len(X))
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)
    expected = 1.0 - np.average(entropy, weights=weight) / np.log(mixture.n_components)
    assert mixture.entropy_r2(X, weight) == pytest.approx(expected, rel=1e-10)
    assert GaussianMixture(1).fit(X).entropy_r2(X) == 1.0


def test_the_chosen_mixture_is_a_fitted_estimator(tmp_path):
    X = clusters()
    selection = select(X, n_components=[2, 3], criterion="icl", max_iter=500, **QUICK)
    best, row = selection.best_estimator_, selection.table[selection.best_index_]
    assert best.converged_
    assert best.get_params()["max_iter"] == 500
    assert "converged" in str(best.fit_report_)
    for name in ("bic", "aic", "icl"):
        if name in row:
            assert row[name] == pytest.approx(getattr(best, name)(X), rel=1e-10)
    assert row["loglik"] == pytest.approx(best.score(X) * len(X), rel=1e-10)
    assert row["n_parameters"] == 2 * 3 + 3 + 2
    best.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(fastem.load(tmp_path / "model.npz").predict(X), best.predict(X))


def test_a_mixture_chosen_by_cross_validation():
    search = GridSearchCV(
        GaussianMixture(random_state=0, covariance_type="tied"), {"n_components": [1, 2, 3, 4]}, cv=3
    ).fit(clusters(600))
    assert search.best_params_["n_components"] >= 3
    scores = search.cv_results_["mean_test_score"]
    assert scores[2] - scores[1] > 0.1 > abs(scores[3] - scores[2])


# Shared reads.


def test_fits_in_step_are_fits_one_after_the_other(case):
    problems = {}
    source = ArraySource(clusters(500))
    for size in (1, 2, 3):
        model = case.model(size)
        start, _ = start_from_sample("k-means++", model, source, np.random.default_rng(size))
        problems[size] = (model, start)

    def e_steps(asked):
        def begin():
            return [problems[size][0].accumulator(params) for size, params in asked.items()]

        return dict(zip(asked, sums_over(segments_of(source.chunks()), begin), strict=True))

    class Alone:
        def __init__(self, model):
            self.model, self.m_step = model, model.m_step

        def e_step(self, params):
            return self.model.e_step(params, next(source.chunks()))

    courses = {size: Course(model.m_step, FitState(start), Squarem(model)) for size, (model, start) in problems.items()}
    left = []
    together = fit_together(courses, e_steps, tol=1e-8, max_iter=50, watch=left.append)
    assert left[0] == 3
    assert left[-1] == 0
    assert left == sorted(left, reverse=True)
    for size, (model, start) in problems.items():
        alone = fit_batch(Alone(model), start, tol=1e-8, max_iter=50, accelerator=Squarem(model))
        assert together[size].trace == alone.trace
        assert together[size].reason is alone.reason
        assert together[size].n_iter == alone.n_iter


def counting(X, n_pieces=4):
    """A source that gives X in pieces, and the list of how often it was asked."""
    reads = []

    def pieces():
        reads.append(1)
        return iter(np.array_split(X, n_pieces))

    return pieces, reads


def test_all_candidates_share_each_read():
    X = np.random.default_rng(1).normal(size=(20_000, 2)) ** 3
    pieces, reads = counting(X)
    selection = select(pieces, n_components=range(1, 6), schedule=Batch(subsample=None), tol=1e-4, **QUICK)
    alone = sum(row["n_iter"] + 1 for row in selection.table)
    # The scan with a look at the first row, the sample, and fits that start anew from a smaller one.
    assert len(reads) <= max(row["n_iter"] for row in selection.table) * 1.5 + 12
    assert len(reads) < alone / 2


def test_a_sample_leads_the_fit_of_very_many_rows():
    X = np.random.default_rng(1).normal(size=(40_000, 2)) ** 3
    pieces, _ = counting(X)
    settings = {"n_components": range(1, 5), "tol": 1e-6, **QUICK}
    plain = select(X, schedule=Batch(subsample=None), **settings)
    sizes = Subsample(min_rows=30_000, sample_rows=10_000)
    led = select(pieces, schedule=Batch(subsample=sizes), **settings)
    assert led.best_params_ == plain.best_params_
    assert led.best_estimator_.fit_report_.n_rows == len(X)
    for row, other in zip(led.table, plain.table, strict=True):
        assert row["loglik"] >= other["loglik"] - 0.05 * len(X)


def test_a_candidate_that_falls_behind_a_smaller_one_starts_again(monkeypatch):
    """A start with two components at the same place: EM never parts them."""
    climb = candidates.Candidates._climb

    def poor(self, kind, found):
        starts = climb(self, kind, found)
        for below, key in ((1, 2), (2, 3)):
            small, large = candidates.Key(kind, below), candidates.Key(kind, key)
            rows, centre = self._sample, self.summary(large).centre
            copied = candidates.copied_start(self.model(large), self.model(small), starts[small], rows, centre)
            starts[large] = copied if key == 3 else starts[large]
        # The smallest has the best start.
        two = starts[candidates.Key(kind, 2)]
        one = candidates.Key(kind, 1)
        starts[candidates.Key(kind, 3)] = candidates.copied_start(
            self.model(candidates.Key(kind, 3)), self.model(one), starts[one], self._sample, self.summary(one).centre
        )
        assert two is starts[candidates.Key(kind, 2)]
        return starts

    good = select(clusters(), n_components=[1, 2, 3], **QUICK)
    monkeypatch.setattr(candidates.Candidates, "_climb", poor)
    mended = select(clusters(), n_components=[1, 2, 3], **QUICK)
    assert_same_table(mended, good, rel=1e-6)


def test_sizes_between_which_none_is_asked_for():
    assert candidates.stages(1, [1, 2, 3]) == [2, 3]
    assert candidates.stages(1, [10, 12]) == [2, 4, 8, 10, 12]
    assert candidates.stages(3, [10]) == [6, 10]


# Rows.


@pytest.mark.parametrize("criterion", ["icl", "heldout"])
def test_a_file_gives_the_bits_of_an_array(criterion, tmp_path):
    X = clusters(40_000)
    np.save(tmp_path / "x.npy", X)
    settings = {"n_components": [2, 3], "criterion": criterion, **QUICK}
    in_memory = select(X, **settings)
    streamed = select(tmp_path / "x.npy", memory_limit="1MB", **settings)
    # Sums over pieces of a table are rounded anew.
    assert_same_table(streamed, in_memory, rel=1e-12)
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(
            getattr(streamed.best_estimator_, name), getattr(in_memory.best_estimator_, name), err_msg=name
        )


@pytest.mark.parametrize("criterion", ["bic", "icl"])
def test_a_row_of_weight_two_is_the_row_twice(criterion):
    X = clusters(600)
    weight = np.random.default_rng(1).integers(0, 3, size=len(X)).astype(float)
    settings = {"n_components": [1, 3], "criterion": criterion, "tol": 1e-10, **QUICK}
    weighted = select(X, sample_weight=weight, **settings)
    repeated = select(np.repeat(X, weight.astype(int), axis=0), **settings)
    assert_same_table(weighted, repeated, rel=1e-5)


def test_any_number_of_threads_gives_the_same_bits():
    X = clusters(30_000)
    one, two = (select(X, n_components=[2, 3], **{**QUICK, "n_threads": n}) for n in (1, 2))
    assert one.table == two.table


def test_rows_that_are_held_out_teach_nothing(case):
    X = clusters(3000)
    held = np.sort(np.random.default_rng(0).choice(len(X), 300, replace=False))
    rest = np.delete(X, held, axis=0)
    source = WithoutRows(ArraySource(X), held)
    model = case.model()
    params = case.params(model)

    def stats(rows, max_rows=None):
        accumulator = model.accumulator(params)
        for chunk in rows.chunks(max_rows):
            accumulator.add(chunk)
        return accumulator.total()

    ours, exact = stats(source, 700), stats(ArraySource(rest))
    assert ours.weight == exact.weight == 2700
    assert ours.loglik == pytest.approx(exact.loglik, rel=1e-12)
    np.testing.assert_allclose(ours.latent.n, exact.latent.n, rtol=1e-10)
    sample = source.sample(10_000, np.random.default_rng(1))
    np.testing.assert_array_equal(sample.X, rest)
    few = source.sample(100, np.random.default_rng(1))
    again = WithoutRows(as_source(lambda: iter(np.array_split(X, 7))), held).sample(100, np.random.default_rng(1))
    np.testing.assert_array_equal(few.X, again.X)
    assert len(np.unique(few.X[:, 0])) == 100
    assert np.isin(few.X[:, 0], rest[:, 0]).all()
    weighted = source.weighted(np.arange(3000.0))
    assert sum(chunk.weight.sum() for chunk in weighted.chunks()) == np.delete(np.arange(3000.0), held).sum()


def test_held_out_scores_are_of_a_fit_without_them():
    X = clusters()
    selection = select(X, n_components=[3], criterion="heldout", tol=1e-9, **QUICK)
    source, held = hold_out(as_source(X), 0.1, np.random.default_rng([_seed(), 4]))
    assert len(held.rows.X) == 200
    rest = source.sample(len(X), np.random.default_rng(0)).X
    alone = GaussianMixture(3, random_state=0, tol=1e-9).fit(rest)
    scores = alone.score_samples(held.rows.X)
    row = selection.table[0]
    assert row["heldout"] == pytest.approx(scores.mean(), abs=1e-4)
    assert row["heldout_se"] == pytest.approx(scores.std(ddof=1) / np.sqrt(200), rel=1e-3)
    assert row["loglik"] == pytest.approx(alone.score(rest) * len(rest), rel=1e-6)
    # The chosen one has learnt from all rows in the end.
    assert selection.best_estimator_.fit_report_.weight == len(X)


def _seed():
    return int(GaussianMixture(random_state=0)._generator().integers(2**63))


@pytest.mark.parametrize("lengths", [None, np.full(5, 4)])
def test_a_gain_is_sure_by_students_t(lengths):
    X = np.zeros((20, 1))
    values = np.random.default_rng(0).normal(0.5, size=20 if lengths is None else 5)
    sizes = 1.0 if lengths is None else lengths
    interval = ttest_1samp(values / sizes, 0.0).confidence_interval(0.95)
    assert HeldOut(ArraySource(X), lengths).least_mean(values) == pytest.approx(interval.low, rel=1e-9)
    twice = ttest_1samp(np.repeat(values / sizes, 2), 0.0).confidence_interval(0.95)
    weighted = HeldOut(ArraySource(X, np.full(20, 2.0)), lengths)
    assert weighted.least_mean(values) == pytest.approx(twice.low, rel=1e-9)


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        ([0.0, 0.1, 0.2, 0.2], 2),
        # No better than the first by itself, and yet the second step is worth it.
        ([0.0, 0.0, 0.2, 0.2], 2),
        ([0.0, 0.0, 0.0, 0.0], 0),
        ([0.3, 0.2, 0.1, 0.0], 0),
        # For three components more the last one gains too little.
        ([0.0, 0.025, 0.025, 0.059], 1),
        ([0.0, 0.1, 0.2, 0.3], 3),
    ],
)
def test_the_smallest_is_chosen_that_no_larger_one_beats(gains, chosen):
    noise = np.random.default_rng(0).normal(size=(5, 50))
    scores = [noise[0] + gain + 1e-4 * own for gain, own in zip(gains, noise[1:], strict=True)]

    class Given(HeldOut):
        def scores(self, model, params):
            return scores[params]

    fits = [(None, index) for index in range(4)]
    table = [{"n_components": index + 1, "n_parameters": 3 * index + 2} for index in range(4)]
    held = Given(ArraySource(np.zeros((50, 1))))
    assert compare_held_out(held, fits, table, 0.02, range(4)) == chosen


def test_a_small_gain_is_no_reason_for_another_component():
    """No data are a mixture: of a skewed distribution BIC takes more components the more rows there are."""
    x = np.random.default_rng(0).gamma(3.0, size=8000)
    settings = {"n_components": range(1, 5), "covariance_types": "full", "random_state": 0, "tol": 1e-4}
    by_bic = select(x, **settings).best_params_["n_components"]
    small, large = (
        select(x, criterion="heldout", min_gain=gain, **settings).best_params_["n_components"] for gain in (0.0, 0.05)
    )
    assert large == 2 < small <= by_bic


def test_candidates_may_be_compared_on_a_sample():
    X = clusters(5000)
    selection = select(X, n_components=[2, 3, 4], max_rows=1000, **QUICK)
    assert selection.best_params_["n_components"] == 3
    assert selection.best_estimator_.fit_report_.n_rows == 5000
    assert selection.best_estimator_.converged_
    row = selection.table[selection.best_index_]
    assert row["loglik"] == pytest.approx(1000 * selection.best_estimator_.score(X), rel=0.05)


def test_one_feature_has_two_types_of_covariance():
    x = np.concatenate([np.random.default_rng(0).normal(m, 1, 300) for m in (0, 9)])
    selection = select(x, n_components=[1, 2], random_state=0)
    assert {row["covariance_type"] for row in selection.table} == {"full", "tied"}
    assert selection.best_params_["n_components"] == 2


# What is shown.


def test_the_table_in_words_columns_and_a_frame():
    selection = select(clusters(500), n_components=[3, 1, 3], criterion="heldout", **QUICK)
    frame = selection.to_pandas()
    assert list(frame["n_components"]) == [1, 3, 1, 3]
    assert list(frame.columns) == list(selection.to_dict())
    lines = str(selection).splitlines()
    assert len(lines) == 6
    assert sum(line.startswith("*") for line in lines) == 1
    assert lines[-1] == "chosen by heldout: n_components=3, covariance_type='tied'"


@pytest.mark.parametrize("criterion", ["bic", "heldout"])
def test_a_picture_has_a_line_for_each_type(criterion):
    selection = select(clusters(500), n_components=[1, 3], criterion=criterion, **QUICK)
    ax = selection.plot()
    labels = ax.get_legend_handles_labels()[1]
    assert labels == ["full", "tied", "chosen: tied, 3"]
    drawn = {line.get_label(): line.get_ydata().tolist() for line in ax.get_lines()}
    assert drawn["full"] == [row[criterion] for row in selection.table[:2]]
    ax.figure.clear()


def test_the_command_line(tmp_path):
    data = ROOT / "examples" / "faithful.csv"
    options = ["select", str(data), "--components", "1-3", "-c", "full", "-c", "tied", "--seed", "0"]
    model, picture = tmp_path / "model.npz", tmp_path / "picture.png"
    shown = CliRunner().invoke(app, [*options, "--output", str(model), "--plot", str(picture)], env={"COLUMNS": "80"})
    assert shown.exit_code == 0, shown.stderr
    assert "chosen by bic: Gaussian mixture, 3 components, tied covariance" in shown.stdout
    assert "2314.2" in shown.stdout
    assert "…" not in shown.stdout
    assert fastem.load(model).n_components == 3
    assert picture.exists()
    found = json.loads(CliRunner().invoke(app, [*options, "--json"]).stdout)
    X = np.loadtxt(data, delimiter=",", skiprows=1)
    ours = select(X, n_components=[1, 2, 3], covariance_types=["full", "tied"], random_state=0)
    assert found["best"] == ours.best_params_
    assert [row["bic"] for row in found["candidates"]] == pytest.approx(ours.to_dict()["bic"], rel=1e-12)
    wrong = CliRunner().invoke(app, ["select", str(data), "--components", "5-2"])
    assert wrong.exit_code == 2
    assert "neither a range" in " ".join(wrong.stderr.split())


def test_what_is_going_on_is_told(capsys):
    select(clusters(500), n_components=[1, 2], verbose=1, verbose_interval=1, **QUICK)
    told = capsys.readouterr().out.splitlines()
    assert "pass 1: 4 of 4 candidates still running" in told
    starts = [line for line in told if line.startswith("start found: ")]
    assert starts[0] == f"start found: {QUICK['covariance_types'][0]} 1"
    assert len(starts) == 4
    assert told.index(starts[-1]) < told.index("pass 1: 4 of 4 candidates still running")


# Errors.


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"n_components": 0}, ValueError, "n_components must be"),
        ({"n_components": []}, ValueError, "n_components must be"),
        ({"n_components": "3"}, ValueError, "n_components must be"),
        ({"n_components": [5000]}, ValueError, "larger than n_samples=60"),
        (
            {"covariance_types": "round"},
            ValueError,
            "covariance_types='round' is not known. Choose among 'full', 'tied', ",
        ),
        ({"covariance_types": []}, ValueError, "names none"),
        ({"criterion": "dic"}, ValueError, "criterion='dic' is not known. Choose among 'bic', 'aic'"),
        ({"min_gain": -1.0}, ValueError, "min_gain must be at least 0"),
        ({"validation_fraction": 1.0}, ValueError, "between 0 and 1"),
        ({"max_rows": 0}, ValueError, "max_rows must be"),
        ({"criterion": "heldout", "validation_fraction": 0.01}, ValueError, "no two rows"),
        ({"tol": -1.0}, ValueError, "'tol' parameter"),
        ({"init_params": np.zeros(60, dtype=int)}, ValueError, "init_params must be the name"),
        ({"covariance_type": "full"}, TypeError, "covariance_types"),
        ({"checkpoint": "x"}, TypeError, "of a single fit"),
        ({"random_sate": 0}, TypeError, "'random_state'"),
        ({"sample_weight": np.zeros(60)}, ValueError, "non-zero"),
    ],
)
def test_unusable_settings_are_told(settings, error, message):
    with pytest.raises(error, match=message):
        select(clusters(60), **{"n_components": [1, 2], **settings})


@pytest.mark.parametrize("criterion", ["bic", "heldout"])
def test_values_that_are_missing_are_told(criterion):
    X = clusters(60)
    X[17, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        select(X, n_components=[1, 2], criterion=criterion, missing="error")
    X[17, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        select(X, n_components=[1, 2], criterion=criterion)


def test_candidates_that_have_not_converged_are_told():
    with pytest.warns(ConvergenceWarning, match="2 of 2 candidates did not converge"):
        select(clusters(500), n_components=[1, 2], covariance_types="full", max_iter=1, tol=0, random_state=0)


def counts(n_rows=900, seed=0):
    """Rows of three groups: a count, a code and a number."""
    random = np.random.default_rng(seed)
    group = np.arange(n_rows) % 3
    codes = (group + (random.uniform(size=n_rows) < 0.2)) % 3
    return np.column_stack([random.poisson(np.array([2, 9, 25])[group]), codes, random.normal(5.0 * group)])


@pytest.mark.parametrize("criterion", ["bic", "heldout"])
@pytest.mark.parametrize(
    ("estimator", "columns", "kind"),
    [
        (Mixture("poisson"), [0], "counts"),
        (Mixture(["poisson", "categorical", "normal"]), [0, 1, 2], "mixed"),
        (Mixture("normal"), [2], "normal"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_families(estimator, columns, kind, criterion):
    X = counts()[:, columns]
    selection = select(X, estimator, n_components=range(1, 6), criterion=criterion, random_state=0)
    assert selection.best_params_ == {"n_components": 3}
    assert "covariance_type" not in selection.to_dict()
    assert f"chosen by {criterion}: n_components=3" in str(selection)
    assert type(selection.best_estimator_) is type(estimator)
    np.testing.assert_allclose(selection.best_estimator_.weights_, 1 / 3, atol=0.03)
    assert not hasattr(estimator, "weights_")
    logliks = selection.to_dict()["loglik"]
    assert np.all(np.diff(logliks) > -1e-6 * abs(logliks[0])), "no candidate is worse than a smaller one"
    alone = clone(estimator).set_params(n_components=3, random_state=0, n_init=4).fit(X)
    if criterion == "bic":
        assert selection.best_score_ == pytest.approx(alone.bic(X), abs=0.5)
    assert selection.plot().get_xlabel() == "number of components"


def test_what_is_no_model_is_named():
    X = counts()
    with pytest.raises(TypeError, match=r"select compares mixtures and hidden Markov models, .* and KMeans"):
        select(X, KMeans())
    with pytest.raises(ValueError, match="covariance_types are of Gaussian components; Mixture has none"):
        select(X[:, :1], Mixture("poisson"), covariance_types="full")
    with pytest.raises(TypeError, match=r"select has no setting 'reg_covar'\. It takes those of Mixture"):
        select(X[:, :1], Mixture("poisson"), reg_covar=0.0)
    with pytest.raises(TypeError, match="'params_init', which is of a single fit"):
        select(X[:, :1], Mixture("poisson"), params_init={"rates": [[1.0]]})
