"""What the pictures show, in numbers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Ellipse, StepPatch
from scipy.stats import bernoulli, expon, gaussian_kde, norm, poisson
from sklearn.exceptions import NotFittedError

from fastem import GaussianHMM, GaussianMixture, Mixture, plotting
from fastem._extras import MissingExtraError
from fastem.families import Poisson, StudentT
from fastem.plotting import density as density_file
from fastem.plotting import plot_density, plot_missing, style

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.figure().add_subplot()


def curves(ax):
    return {line.get_label(): line.get_data() for line in ax.get_lines()}


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def ellipses(ax):
    return [patch for patch in ax.patches if isinstance(patch, Ellipse)]


def only(ax, kind):
    (found,) = [artist for artist in (*ax.collections, *ax.patches) if isinstance(artist, kind)]
    return found


def two_normals():
    return GaussianMixture.from_parameters([0.3, 0.7], [20.0, 40.0], [25.0, 0.01])


def mixture_of(covariance_type, n_features=3):
    """A mixture whose covariances all differ, and the same covariances as matrices (K, D, D)."""
    random = np.random.default_rng(0)
    roots = random.normal(size=(2, n_features, n_features))
    matrices = roots @ np.swapaxes(roots, 1, 2) + 0.1 * np.eye(n_features)
    variances = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])[:, :n_features]
    covariances, expected = {
        "full": (matrices, matrices),
        "tied": (matrices[0], matrices[[0, 0]]),
        "diag": (variances, np.stack([np.diag(row) for row in variances])),
        "spherical": (variances[:, 0], variances[:, :1, None] * np.eye(n_features)),
    }[covariance_type]
    means = 3 * random.normal(size=(2, n_features))
    mixture = GaussianMixture.from_parameters([0.25, 0.75], means, covariances, covariance_type=covariance_type)
    return mixture, expected


# The objective.


def test_objective_line_holds_the_objectives_of_the_fit(faithful, ax):
    mixture = GaussianMixture(2, random_state=0).fit(faithful)
    assert mixture.plot_objective(ax=ax) is ax
    line, start, end = ax.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), np.arange(mixture.n_iter_ + 1))
    np.testing.assert_array_equal(line.get_ydata(), mixture.lower_bounds_)
    assert start.get_xydata().tolist() == [[0, mixture.lower_bounds_[0]]]
    assert end.get_xydata().tolist() == [[mixture.n_iter_, mixture.lower_bound_]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("iteration", "log-likelihood (nats per row)")
    assert f"converged after {mixture.n_iter_} iterations" in legend_texts(ax)[-1]


def test_legend_tells_why_fitting_stopped(faithful):
    with pytest.warns(match="max_iter=2"):
        mixture = GaussianMixture(2, n_init=1, random_state=0, max_iter=2).fit(faithful)
    assert "max iter after 2 iterations" in legend_texts(mixture.plot_objective())[-1]


@pytest.mark.parametrize("mixture", [GaussianMixture(), two_normals()], ids=["new", "from_parameters"])
def test_objective_needs_a_fit(mixture):
    with pytest.raises(ValueError, match="not fitted"):
        plotting.plot_objective(mixture)


# One feature.


def test_curves_are_the_densities_of_the_mixture_and_its_components(ax):
    mixture = two_normals()
    assert mixture.plot([15.0, 22.0, 40.0], ax=ax) is ax
    lines = curves(ax)
    grid, density = lines.pop("mixture")
    np.testing.assert_allclose(density, np.exp(mixture.score_samples(grid)), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(sum(component for _, component in lines.values()), density, rtol=1e-12)
    np.testing.assert_allclose(np.trapezoid(density, grid), 1.0, atol=1e-3)
    assert list(lines) == ["component 0 (30%)", "component 1 (70%)"]
    np.testing.assert_allclose([np.trapezoid(y, x) for x, y in lines.values()], [0.3, 0.7], atol=1e-3)


def test_histogram_is_a_weighted_density():
    random = np.random.default_rng(0)
    x, weight = random.normal(30, 10, 500), random.uniform(size=500)
    edges = np.linspace(0, 60, 13)
    ax = two_normals().plot(x, sample_weight=weight, bins=edges)
    drawn = only(ax, StepPatch).get_data()
    expected, _ = np.histogram(x, edges, weights=weight, density=True)
    np.testing.assert_allclose(drawn.values, expected)
    np.testing.assert_array_equal(drawn.edges, edges)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "density")
    assert legend_texts(ax) == ["data", "component 0 (30%)", "component 1 (70%)", "mixture"]


def test_kernel_density_is_drawn_on_request():
    random = np.random.default_rng(0)
    x, weight = random.normal(30, 10, 300), random.uniform(size=300)
    assert "kernel density" not in curves(two_normals().plot(x))
    grid, density = curves(two_normals().plot(x, kde=True, sample_weight=weight))["kernel density"]
    np.testing.assert_allclose(density, gaussian_kde(x, weights=weight)(grid))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_one_feature_of_several_shows_the_marginal(covariance_type):
    mixture, covariances = mixture_of(covariance_type)
    grid, density = curves(mixture.plot(np.zeros((5, 3)), features=2))["mixture"]
    marginal = GaussianMixture.from_parameters(mixture.weights_, mixture.means_[:, 2], covariances[:, 2, 2])
    np.testing.assert_allclose(density, np.exp(marginal.score_samples(grid)), rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_curves_of_every_covariance_type(covariance_type):
    mixture, _ = mixture_of(covariance_type, n_features=1)
    grid, density = curves(mixture.plot([0.0, 1.0]))["mixture"]
    np.testing.assert_allclose(density, np.exp(mixture.score_samples(grid)), rtol=1e-10, atol=1e-300)


GROUP = np.random.default_rng(0).uniform(size=800) < 0.4
COUNTS = np.random.default_rng(1).poisson(np.where(GROUP, 2.0, 9.0))
WAITS = np.random.default_rng(2).exponential(np.where(GROUP, 1.0, 8.0))
POISSON = Mixture.from_parameters("poisson", [0.4, 0.6], rates=[[2.0], [9.0]])
EXPONENTIAL = Mixture.from_parameters("exponential", [0.4, 0.6], means=[[1.0], [8.0]])
WITH_EXPOSURE = Mixture.from_parameters(Poisson(exposure=True), [1.0], rates=[[2.0]])


def mixed():
    """A column of each kind."""
    random = np.random.default_rng(3)
    codes, ones = random.binomial(2, np.where(GROUP, 0.2, 0.7)), random.uniform(size=800) < np.where(GROUP, 0.3, 0.8)
    X = np.column_stack([COUNTS, random.normal(np.where(GROUP, 0, 4)), codes, ones, WAITS])
    kinds = ["poisson", "normal", "categorical", "bernoulli", "exponential"]
    return Mixture(kinds, 2, random_state=0).fit(X), X


def test_curves_of_counts_stand_at_whole_numbers():
    ax = POISSON.plot(COUNTS)
    lines = curves(ax)
    grid, shares = lines["mixture"]
    np.testing.assert_array_equal(grid, np.arange(grid[0], grid[0] + grid.size))
    np.testing.assert_allclose(shares, np.exp(POISSON.score_samples(grid)), rtol=1e-12)
    np.testing.assert_allclose(lines["component 1 (60%)"][1], 0.6 * poisson.pmf(grid, 9.0), rtol=1e-12)
    drawn = only(ax, StepPatch).get_data()
    np.testing.assert_array_equal(drawn.edges, np.arange(COUNTS.max() + 2) - 0.5)
    np.testing.assert_allclose(drawn.values, np.bincount(COUNTS) / COUNTS.size)
    assert ax.get_ylabel() == "share of rows"


def test_bars_of_large_counts_hold_as_many_whole_numbers_each():
    counts = np.random.default_rng(0).poisson([2000.0, 9000.0], size=(400, 2)).ravel()
    ax = Mixture.from_parameters("poisson", [0.5, 0.5], rates=[2000.0, 9000.0]).plot(counts)
    edges = only(ax, StepPatch).get_data().edges
    assert len(set(np.diff(edges))) == 1
    assert np.all(edges % 1 == 0.5)
    assert len(edges) <= 102
    grid, shares = curves(ax)["mixture"]
    assert np.all(grid % 1 == 0)
    assert np.trapezoid(shares, grid) == pytest.approx(1.0, abs=0.01)


def test_curves_of_waiting_times_begin_at_zero():
    grid, density = curves(EXPONENTIAL.plot(WAITS))["mixture"]
    assert grid.min() >= 0.0
    np.testing.assert_allclose(density, np.exp(EXPONENTIAL.score_samples(grid)), rtol=1e-12)


def test_marginals_of_mixed_columns_are_distributions():
    mixture, X = mixed()
    every = np.arange(200.0)
    expected = [
        poisson(mixture.means_[:, 0, None]), norm(mixture.means_[:, 1, None], np.sqrt(mixture.variances_[:, 1, None])),
        None, bernoulli(mixture.means_[:, 3, None]), expon(scale=mixture.means_[:, 4, None]),
    ]  # fmt: skip
    for feature, distribution in enumerate(expected):
        marginal = mixture.marginal(feature)
        if marginal.is_discrete:
            assert marginal.density(every).sum(axis=1) == pytest.approx(1.0)
        if distribution is None:
            table = mixture.probabilities_[2]
            np.testing.assert_array_equal(marginal.density(every[:3]), table)
            np.testing.assert_allclose(marginal.means, table @ np.arange(3))
            continue
        of_scipy = distribution.pmf if marginal.is_discrete else distribution.pdf
        np.testing.assert_allclose(marginal.density(X[:50, feature]), of_scipy(X[:50, feature]), rtol=1e-10)
        np.testing.assert_allclose(marginal.means, distribution.mean()[:, 0])
        np.testing.assert_allclose(marginal.sds, distribution.std()[:, 0])
        grid, drawn = curves(mixture.plot(X, features=feature))["mixture"]
        np.testing.assert_allclose(drawn, mixture.weights_ @ marginal.density(grid), rtol=1e-12)


@pytest.mark.parametrize(
    ("mixture", "feature", "error", "message"),
    [
        (POISSON, 1, ValueError, "feature must be an index from 0 to 0; got 1"),
        (POISSON, -1, ValueError, "from 0 to 0; got -1"),
        (POISSON, "x", ValueError, "got 'x'"),
        (POISSON, np.nan, ValueError, "got nan"),
        (Mixture("poisson"), 0, NotFittedError, "Mixture"),
        (WITH_EXPOSURE, 0, ValueError, "Counts with an exposure"),
    ],
)
def test_marginals_that_are_not_there_are_told(mixture, feature, error, message):
    with pytest.raises(error, match=message):
        mixture.marginal(feature)


def test_a_family_of_ones_own_with_several_columns_is_told_to_have_no_curve():
    class Bare:
        def __init__(self, family):
            self._family = family

        def __getattr__(self, name):
            if name in ("_family", "marginal"):
                raise AttributeError(name)
            return getattr(self._family, name)

    X = np.array([[1.0, 2.0], [2.0, 1.0], [4.0, 3.0]])
    mixture = Mixture(["normal", "normal"], 1).fit(X)
    model = replace(mixture._model, family=Bare(mixture._model.family))
    mixture._known = mixture._known._replace(model=model)
    with pytest.raises(TypeError, match="Bare does not define the distribution of one of its 2 features"):
        mixture.plot(X, features=0)


def test_states_have_marginals():
    hmm = chain(2)
    np.testing.assert_allclose(hmm.marginal(1).density(np.array([5.0, -5.0])), norm.pdf([[0, 10], [10, 0]]), atol=1e-12)


# Two features.


@pytest.mark.parametrize("features", [None, (2, 0)])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_ellipses_are_the_axes_of_the_marginal_covariances(covariance_type, features):
    mixture, covariances = mixture_of(covariance_type)
    columns = list(features or (0, 1))
    drawn = ellipses(mixture.plot(np.zeros((4, 3)), features=features))
    assert len(drawn) == 4
    for index, ellipse in enumerate(drawn):
        k, n_sd = divmod(index, 2)
        np.testing.assert_allclose(ellipse.get_center(), mixture.means_[k, columns])
        axes = np.array([ellipse.get_width(), ellipse.get_height()]) / (2 * (n_sd + 1))
        marginal = covariances[k][np.ix_(columns, columns)]
        np.testing.assert_allclose(axes**2, np.linalg.eigvalsh(marginal)[::-1])
        angle = np.radians(ellipse.angle)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        np.testing.assert_allclose(turn @ np.diag(axes**2) @ turn.T, marginal, atol=1e-12)


def test_ellipses_hold_the_documented_probability():
    mixture, _ = mixture_of("full", n_features=2)
    single = GaussianMixture.from_parameters([1.0], mixture.means_[:1], mixture.covariances_[:1], random_state=0)
    X, _ = single.sample(20_000)
    # Paths in data coordinates: the test needs no canvas.
    inside = [e.get_patch_transform().transform_path(e.get_path()).contains_points(X) for e in ellipses(single.plot(X))]
    np.testing.assert_allclose(np.mean(inside, axis=1), [0.393, 0.865], atol=0.012)
    assert "39.3% and\n    86.5%" in plotting.plot_density.__doc__


def test_columns_of_other_kinds_have_their_means_in_the_plane():
    mixture, X = mixed()
    ax = mixture.plot(X, features=(0, 2))
    assert ellipses(ax) == []
    points = [line.get_xydata()[0] for line in ax.get_lines()]
    means = np.stack([mixture.marginal(0).means, mixture.marginal(2).means], axis=1)
    np.testing.assert_allclose(points, means)
    first_curve = Mixture(["poisson", "exposure", "normal"], 2, random_state=0).fit(X[:, [0, 4, 1]])
    assert first_curve.plot(X[:, [0, 4, 1]]).get_xlabel() == "feature 2"


def test_points_have_the_colour_of_their_component(faithful, ax):
    mixture = GaussianMixture(2, random_state=0).fit(faithful)
    assert mixture.plot(faithful, ax=ax) is ax
    points = only(ax, PathCollection)
    np.testing.assert_array_equal(points.get_offsets(), faithful)
    colours = np.array([to_hex(colour) for colour in points.get_facecolors()])
    of_component = np.array([to_hex(ellipse.get_edgecolor()) for ellipse in ellipses(ax)[::2]])
    np.testing.assert_array_equal(colours, of_component[mixture.predict(faithful)])
    assert len(set(of_component)) == 2
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("feature 0", "feature 1")
    assert legend_texts(ax) == ["component 0 (35.6%)", "component 1 (64.4%)", "1 and 2 standard deviations"]


def test_points_of_weight_zero_are_left_out(faithful):
    mixture, _ = mixture_of("full", n_features=2)
    weight = np.arange(len(faithful)) % 3
    points = only(mixture.plot(faithful, sample_weight=weight), PathCollection)
    np.testing.assert_array_equal(points.get_offsets(), faithful[weight > 0])


def test_hexagons_hold_shares_of_the_weight(ax):
    mixture, _ = mixture_of("diag", n_features=2)
    X = np.repeat([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]], [5, 10, 20], axis=0)
    weight = np.repeat([8.0, 3.0, 0.0], [5, 10, 20])
    mixture.plot(X, ax=ax, kind="hexbin", sample_weight=weight, bins=5)
    shares = only(ax, PolyCollection).get_array()
    np.testing.assert_allclose(np.sort(shares), [100 * 30 / 70, 100 * 40 / 70])
    assert any("%" in other.get_ylabel() for other in ax.figure.axes if other is not ax)


# Many rows.


def test_many_rows_are_drawn_from_an_even_sample(monkeypatch):
    monkeypatch.setattr(density_file, "MOST_POINTS", 100)
    monkeypatch.setattr(density_file, "MOST_ROWS", 1000)
    mixture, _ = mixture_of("full", n_features=2)
    X = np.column_stack([np.arange(5000.0), np.zeros(5000)])
    only(mixture.plot(X), PolyCollection)
    points = only(mixture.plot(X, kind="scatter"), PathCollection).get_offsets()
    again = only(mixture.plot(X, kind="scatter"), PathCollection).get_offsets()
    np.testing.assert_array_equal(points, again)
    np.testing.assert_array_equal(points[:, 0] // 50, np.arange(100))
    values, edges, _ = only(mixture.plot(X, features=0, bins=10), StepPatch).get_data()
    np.testing.assert_allclose(values * np.diff(edges), 0.1, atol=0.002)


def test_a_memory_map_larger_than_the_sample_is_not_copied(tmp_path):
    import tracemalloc

    X = np.lib.format.open_memmap(tmp_path / "X.npy", mode="w+", dtype=np.float32, shape=(2_000_000, 2))
    mixture, _ = mixture_of("full", n_features=2)
    mixture.plot(X[:10])
    tracemalloc.start()
    mixture.plot(X, kind="scatter")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.nbytes / 4


@pytest.mark.parametrize(
    "container",
    [
        np.float32,
        np.asfortranarray,
        np.ndarray.tolist,
        lambda X: pd.DataFrame(X, columns=["a", "b"]),
        lambda X: pd.DataFrame(X, columns=["a", "b"]).astype("Float64"),
        lambda X: pl.DataFrame(X, schema=["a", "b"]),
    ],
    ids=["float32", "fortran", "list", "pandas", "pandas-nullable", "polars"],
)
@pytest.mark.parametrize("fit_names", [False, True])
def test_data_in_any_container(faithful, container, fit_names):
    frame = pd.DataFrame(faithful, columns=["a", "b"])
    mixture = GaussianMixture(2, random_state=0).fit(frame if fit_names else faithful)
    X = container(faithful)
    ax = mixture.plot(X)
    np.testing.assert_allclose(only(ax, PathCollection).get_offsets(), faithful, rtol=1e-6)
    names = ("a", "b") if fit_names or hasattr(X, "columns") else ("feature 0", "feature 1")
    assert (ax.get_xlabel(), ax.get_ylabel()) == names
    values, edges, _ = only(mixture.plot(X, features=names[1], bins=7), StepPatch).get_data()
    np.testing.assert_allclose(values, np.histogram(faithful[:, 1], edges, density=True)[0])


@pytest.mark.parametrize("container", [pd.Series, pl.Series, list, lambda x: x[:, None]])
def test_one_feature_in_any_container(container):
    x = np.random.default_rng(0).normal(30, 10, 200)
    values, edges, _ = only(two_normals().plot(container(x)), StepPatch).get_data()
    np.testing.assert_allclose(values, np.histogram(x, edges, density=True)[0])


def test_many_components_have_one_entry_in_the_legend(ax):
    mixture = GaussianMixture.from_parameters(np.full(15, 1 / 15), np.arange(15.0), np.ones(15))
    mixture.plot([1.0, 2.0], ax=ax)
    assert legend_texts(ax) == ["data", "15 components", "mixture"]
    styles = {(line.get_color(), line.get_linestyle()) for line in ax.get_lines()[:-1]}
    assert len(styles) == 15


# What cannot be drawn.

TWO = mixture_of("full", n_features=2)[0]
PLANE = np.zeros((4, 2))


@pytest.mark.parametrize(
    ("mixture", "X", "options", "message"),
    [
        (GaussianMixture(), [1.0], {}, "Call fit first"),
        (TWO, np.zeros((4, 3)), {}, "n_features_in_=2"),
        (TWO, [1.0, 2.0], {}, "n_features_in_=2"),
        (TWO, PLANE, {"features": (0, 2)}, "from 0 to 1"),
        (TWO, PLANE, {"features": (0, -1)}, "from 0 to 1"),
        (TWO, PLANE, {"features": (1, 1)}, "different"),
        (TWO, PLANE, {"features": ()}, "one or two"),
        (TWO, PLANE, {"features": "height"}, "height"),
        (TWO, PLANE, {"kind": "contour"}, "contour"),
        (TWO, PLANE, {"kde": True}, "one feature"),
        (TWO, PLANE, {"kind": "hexbin", "features": 0}, "two features"),
        (TWO, PLANE, {"sample_weight": [1, 1, 1]}, "4 finite numbers"),
        (TWO, PLANE, {"sample_weight": [1, 1, 1, -1]}, "none negative"),
        (TWO, PLANE, {"sample_weight": [0, 0, 0, 0]}, "positive weight"),
        (TWO, np.empty((0, 2)), {}, "no row"),
        (TWO, [[np.nan, 0.0]], {}, "No row of X has the values"),
        (two_normals(), [1.0, np.inf], {}, "infinity"),
        (two_normals(), [1.0, 1.0], {"kde": True}, "rows that differ"),
        (POISSON, [1.0, 2.0], {"kde": True}, "no count or code"),
        (Mixture("poisson"), [1.0], {}, "Call fit first"),
        (WITH_EXPOSURE, np.ones((4, 2)), {}, "Counts with an exposure"),
        (
            Mixture.from_parameters("multinomial", [1.0], probabilities=[[0.5, 0.5]]),
            np.ones((4, 2)),
            {},
            "Counts of a given total",
        ),
        (GaussianHMM(), [1.0], {}, "Chains have plot_states"),
    ],
)
def test_what_cannot_be_drawn_is_told(mixture, X, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.plot_density(mixture, X, **options)


def test_columns_that_are_not_those_of_the_model_are_refused(faithful):
    frame = pd.DataFrame(faithful, columns=["a", "b"])
    mixture = GaussianMixture(2, random_state=0).fit(frame)
    with pytest.raises(ValueError, match="columns of X"):
        mixture.plot(frame.rename(columns={"b": "c"}))


@pytest.mark.parametrize("draw", [lambda: two_normals().plot([1.0]), lambda: _fitted().plot_objective()])
def test_missing_matplotlib_is_told_with_its_extra(monkeypatch, draw):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"fastem\[plot\]"):
        draw()


def _fitted():
    return GaussianMixture().fit([1.0, 2.0, 4.0])


def test_importing_the_module_imports_no_matplotlib():
    check = "import sys, fastem.plotting; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def chain(n_features=1):
    means = np.array([[0.0, 5.0], [9.0, -5.0]])[:, :n_features]
    return GaussianHMM.from_parameters([1, 0], [[0.9, 0.1], [0.2, 0.8]], means, np.ones((2, n_features)))


def test_states_are_bands_behind_the_series():
    hmm = chain()
    x = np.array([0.1, 0.2, 9.0, 8.8, 0.0, 9.1])
    ax = plotting.plot_states(hmm, np.concatenate([[9.0], x]), [1, 6], sequence=1)
    bands = [(patch.get_x(), patch.get_x() + patch.get_width(), to_hex(patch.get_facecolor())) for patch in ax.patches]
    blue, orange = (colour.lower() for colour in style.COLOURS[:2])
    assert bands == [(-0.5, 1.5, blue), (1.5, 3.5, orange), (3.5, 4.5, blue), (4.5, 5.5, orange)]
    lines = curves(ax)
    np.testing.assert_array_equal(lines["data"][1], x)
    np.testing.assert_array_equal(lines["mean of the state"][1], [0, 0, 9, 9, 0, 9])
    assert legend_texts(ax) == ["data", "state 0", "state 1", "mean of the state"]


def test_a_picture_of_a_chain_is_that_of_its_states():
    x = chain().sample(50, random_state=0)[0]
    a, b = (draw(x, lengths=[20, 30], sequence=1) for draw in (chain().plot, chain().plot_states))
    np.testing.assert_array_equal(a.get_lines()[0].get_ydata(), b.get_lines()[0].get_ydata())


def test_states_of_a_named_feature():
    hmm = chain(2)
    frame = pd.DataFrame(hmm.sample(30, random_state=0)[0], columns=["a", "b"])
    ax = plotting.plot_states(hmm, frame, feature="b")
    assert ax.get_ylabel() == "b"
    np.testing.assert_array_equal(curves(ax)["data"][1], frame["b"])
    assert hmm.plot_states(frame.to_numpy(), feature=1, ax=ax) is ax


def test_transitions_are_a_heat_map_with_numbers():
    hmm = chain()
    ax = hmm.plot_transitions()
    np.testing.assert_array_equal(ax.images[0].get_array(), hmm.transmat_)
    assert [text.get_text() for text in ax.texts] == ["0.9", "0.1", "0.2", "0.8"]
    many = GaussianHMM.from_parameters(np.full(20, 0.05), np.full((20, 20), 0.05), np.arange(20.0), np.ones(20))
    assert not many.plot_transitions().texts


def test_chains_that_cannot_be_drawn():
    with pytest.raises(ValueError, match="There is no chain to draw"):
        plotting.plot_states(GaussianHMM(2), [1.0])
    with pytest.raises(ValueError, match="There is no chain to draw"):
        plotting.plot_transitions(GaussianHMM(2))
    with pytest.raises(ValueError, match="There is no sequence 2 in 5 rows of 2 sequences"):
        plotting.plot_states(chain(), np.zeros(5), [2, 3], sequence=2)


# What a picture asks for.


class Stand:
    """No estimator, but all that a picture asks for."""

    n_features_in_ = 2
    weights_ = np.array([0.4, 0.6])

    def marginal(self, feature):
        return two_normals().marginal(0)

    def scatter(self, features):
        return np.broadcast_to(np.eye(len(features)), (2, len(features), len(features)))

    def predict(self, X):
        return np.zeros(len(X), dtype=np.int64)


@pytest.mark.parametrize("features", [0, (0, 1)])
def test_whatever_is_drawable_can_be_drawn(ax, features):
    plotting.plot_density(Stand(), np.zeros((5, 2)), ax, features=features)
    assert legend_texts(ax)
    assert len(ellipses(ax)) == (4 if features == (0, 1) else 0)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_scatter_of_some_features(covariance_type):
    mixture, covariances = mixture_of(covariance_type)
    for chosen in ([2], [2, 0], [0, 1, 2]):
        np.testing.assert_allclose(mixture.scatter(chosen), covariances[:, chosen][:, :, chosen], rtol=1e-12)


def test_counts_have_no_scatter():
    mixture = Mixture.from_parameters("poisson", [1.0], rates=[[3.0, 4.0]])
    with pytest.raises(TypeError, match="has no covariances"):
        mixture.scatter([0, 1])


def test_a_mixture_of_t_distributions_in_the_plane(ax):
    X = np.random.default_rng(0).normal(size=(60, 2))
    mixture = Mixture(StudentT(df=5.0), 1, random_state=0, max_iter=3, tol=1.0).fit(X)
    plotting.plot_density(mixture, X, ax)
    assert len(ellipses(ax)) == 2


def test_rows_that_miss_a_value_are_drawn_apart():
    X = np.array([[1.0, 2.0], [np.nan, 1.0], [0.5, np.nan], [2.0, 3.0]])
    ax = plot_density(TWO, X)
    (crosses,) = (line for line in ax.lines if line.get_label() == "a value filled in")
    np.testing.assert_allclose(np.column_stack(crosses.get_data()), TWO.impute(X)[1:3])
    assert len(ax.collections[0].get_offsets()) == 2
    assert not [line for line in plot_density(TWO, X[[0, 3]]).lines if line.get_label() == "a value filled in"]
    # One column: a histogram of the values that are there.
    assert plot_density(TWO, X, features=0).patches


def test_patterns_of_missing_values_are_drawn():
    X = np.ones((10, 3))
    X[:3, 0], X[3:5, 1:] = np.nan, np.nan
    ax = plot_missing(X)
    image = ax.images[0].get_array()
    np.testing.assert_array_equal(image, [[0, 0, 0], [1, 0, 0], [0, 1, 1]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["5 rows", "3 rows", "2 rows"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0\n30.0%", "1\n20.0%", "2\n20.0%"]
    ax = plot_missing(pd.DataFrame(X, columns=["a", "b", "c"]), most=1)
    assert ax.images[0].get_array().shape == (1, 3)
    assert "5 rows have one of 2 other patterns" in ax.get_xlabel()
    assert ax.get_xticklabels()[0].get_text().startswith("a")
    with pytest.raises(ValueError, match="must be a table of rows and columns"):
        plot_missing(np.ones((2, 2, 2)))
    with pytest.raises(ValueError, match="most must be a positive integer"):
        plot_missing(X, most=0)
