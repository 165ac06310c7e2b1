"""Two processes in one measurement: which row came from which?

3000 values come from N(20, 5) and 7000 from N(40, 5). A mixture of two Gaussians finds both processes without labels,
and assigns each value to the more probable one.

    python examples/two_processes.py [two_processes.png]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from fastem import GaussianMixture


def main(output: Path = Path("two_processes.png")) -> None:
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(20, 5, 3000), random.normal(40, 5, 7000)])
    process = np.repeat([0, 1], [3000, 7000])

    # A start from quantiles puts components in order: component 0 has the lower mean, as process 0 has.
    mixture = GaussianMixture(n_components=2, init_params="quantile", random_state=0).fit(x)
    labels = mixture.predict(x)

    print("component  weight    mean      sd")
    for k, (weight, mean, variance) in enumerate(
        zip(mixture.weights_, mixture.means_[:, 0], mixture.covariances_[:, 0, 0], strict=True)
    ):
        print(f"{k:9d}  {weight:6.4f}  {mean:6.3f}  {variance**0.5:6.3f}")
    print(f"accuracy of the labels: {np.mean(labels == process):.4f}")

    _, (above, below) = plt.subplots(2, 1, figsize=(7, 7), sharex=True, layout="constrained")
    mixture.plot(x, ax=above)
    above.set(title="Fitted mixture", xlabel="")
    groups = [x[(labels == k) & (process == k)] for k in (0, 1)] + [x[labels != process]]
    names = ["process 0, labelled 0", "process 1, labelled 1", "labelled wrongly"]
    below.hist(groups, bins=80, stacked=True, label=names, color=["#0072B2", "#E69F00", "black"])
    below.set(title="Labels against the truth", xlabel="x", ylabel="rows")
    below.spines[["top", "right"]].set_visible(False)
    below.legend(fontsize="small", frameon=False)
    below.figure.savefig(output, dpi=100)
    plt.close(below.figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
