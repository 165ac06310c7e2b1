"""A density from a mixture, and the log-likelihood that finds it.

200 values come from N(2, 1) and 600 from N(-1, 0.8). The left plot shows the density of a fitted mixture beside a
kernel density estimate, which needs no model but smooths the data. The right plot shows the log-likelihood after each
iteration of EM, which never decreases.

    python examples/density_and_objective.py [density_and_objective.png]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from fastem import GaussianMixture


def main(output: Path = Path("density_and_objective.png")) -> None:
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(2, 1, 200), random.normal(-1, 0.8, 600)])

    # A start far from the solution makes the ascent visible.
    mixture = GaussianMixture(n_components=2, means_init=[[0.0], [0.5]], random_state=0).fit(x)

    print("component  weight    mean      sd")
    for k, (weight, mean, variance) in enumerate(
        zip(mixture.weights_, mixture.means_[:, 0], mixture.covariances_[:, 0, 0], strict=True)
    ):
        print(f"{k:9d}  {weight:6.4f}  {mean:6.3f}  {variance**0.5:6.3f}")
    steps = np.diff(mixture.lower_bounds_)
    print(f"log-likelihood per row: {mixture.lower_bounds_[0]:.4f} -> {mixture.lower_bound_:.4f}")
    print(f"iterations: {mixture.n_iter_}, of which lowered it: {np.sum(steps < 0)}")

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    mixture.plot(x, ax=left, kde=True, bins=40)
    left.set_title("Density: mixture and kernel estimate")
    mixture.plot_objective(ax=right)
    right.set_title("Log-likelihood per iteration")
    figure.savefig(output, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
