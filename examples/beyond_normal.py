"""Rows that are not normal: two lines through a geyser, counts that follow each other, times of day, and heavy tails.

- The waiting time of Old Faithful after an eruption, given its length, is described by two regressions.
- The number of large earthquakes in a year depends on that of the year before, in two regimes: a hidden Markov model of
  Poisson regressions, which forecasts the next year.
- Departures from New York City have hours of their own: von Mises distributions on the circle of a day.
- Returns of four stock markets have heavier tails than a normal distribution, even within the regimes of a hidden
  Markov model: t-distributions, whose degrees of freedom are estimated.

    python examples/beyond_normal.py [beyond_normal.png]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from fastem import HMM, GaussianHMM, Mixture, RegressionMixture
from fastem.families import PoissonRegression, StudentT

HERE = Path(__file__).parent


def table(name: str) -> NDArray[np.float64]:
    return np.loadtxt(HERE / name, delimiter=",", skiprows=1)


def two_lines(ax: plt.Axes) -> None:
    eruption, waiting = table("faithful.csv").T
    geyser = RegressionMixture(2, random_state=0).fit(eruption[:, None], waiting)
    print("minutes of waiting for a minute of eruption:", *geyser.coef_[:, 0].round(2))
    geyser.plot(eruption[:, None], waiting, ax=ax)
    ax.set(title="Old Faithful, by two regressions", xlabel="eruption (min)", ylabel="waiting (min)")


def next_year(ax: plt.Axes) -> None:
    year, count = table("earthquakes.csv").T
    before = np.log(count)
    rows = np.column_stack([before[:-1], count[1:]])
    hmm = HMM(PoissonRegression(), 2, random_state=0).fit(rows)
    # Of each year, given the count before it, under either regime; the last one is of the year to come.
    means = np.exp(hmm.intercept_ + hmm.coef_[:, 0] * before[:, None])
    share = np.concatenate([hmm.predict_proba(rows), hmm.predict_next_proba(rows)])
    expected = (share * means).sum(axis=1)
    print(f"earthquakes in 2007: {expected[-1]:.1f} expected")
    ax.plot(year, count, ".", color="#0072B2", label="earthquakes")
    ax.plot(year[1:], expected[:-1], color="#E69F00", linewidth=1.2, label="expected, given the regime")
    ax.plot(2007, expected[-1], "o", color="#D55E00", label="forecast")
    ax.set(title="Earthquakes of magnitude 7, given the year before", xlabel="year", ylabel="number")
    ax.legend(fontsize="small")


def times_of_day(ax: plt.Axes) -> None:
    hour, minute = np.loadtxt(HERE / "flights.csv.gz", delimiter=",", skiprows=1, usecols=(2, 3), max_rows=50_000).T
    angle = 2 * np.pi * (hour + minute / 60) / 24
    rushes = Mixture("von_mises", 3, random_state=0).fit(angle)
    hours = np.sort(rushes.directions_[:, 0] * 24 / (2 * np.pi) % 24)
    print("departures gather about the hours:", *hours.round(1))
    ax.hist(angle, bins=96, range=(0, 2 * np.pi), density=True, color="0.85")
    grid = np.linspace(0, 2 * np.pi, 400)
    density = rushes.weights_[:, None] * rushes.marginal(0).density(grid)
    for each, label in zip(density, (f"{share:.0%}" for share in rushes.weights_), strict=True):
        ax.plot(grid, each, label=label)
    ax.set(title="Departures in a day", xticks=np.arange(0, 25, 6) * np.pi / 12, xlabel="hour", ylabel="density")
    ax.set_xticklabels(["0", "6", "12", "18", "24"])
    ax.legend(fontsize="small")


def heavy_tails(ax: plt.Axes) -> None:
    returns = 100 * np.diff(np.log(table("eustockmarkets.csv")), axis=0)
    normal = GaussianHMM(2, covariance_type="full", random_state=0).fit(returns)
    heavy = HMM(StudentT(df=None), 2, random_state=0).fit(returns)
    print(f"degrees of freedom: {heavy.df_[0]:.1f}")
    print(f"BIC of normal regimes less that of t-distributions: {normal.bic(returns) - heavy.bic(returns):.0f}")
    stormy = np.argmax(np.trace(heavy.covariances_, axis1=1, axis2=2))
    storm = heavy.predict_proba(returns)[:, stormy]
    ax.fill_between(np.arange(len(storm)), -8.0, -8.0 + 16.0 * storm, color="0.85", label="stormy (probability)")
    ax.plot(returns[:, 0], linewidth=0.5, color="#0072B2", label="DAX")
    ax.set(title="Returns in two regimes with heavy tails", xlabel="day", ylabel="return (%)", ylim=(-8, 8))
    ax.legend(fontsize="small")


def main(output: Path = Path("beyond_normal.png")) -> None:
    figure, axes = plt.subplots(2, 2, figsize=(12, 8), layout="constrained")
    for draw, ax in zip((two_lines, next_year, times_of_day, heavy_tails), axes.ravel(), strict=True):
        draw(ax)
    figure.savefig(output, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
