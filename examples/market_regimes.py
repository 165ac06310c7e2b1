"""Quiet and stormy days of four stock markets, by a hidden Markov model.

Daily closing prices of DAX, SMI, CAC and FTSE from 1991 to 1998 become daily returns in per cent. Three states with
full covariance matrices are fitted from several starts. Markets move together in a storm: volatilities and correlations
are highest in the same state. The plots show the returns of the DAX over the states, and the transition probabilities.

    python examples/market_regimes.py [market_regimes.png]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from fastem import GaussianHMM

NAMES = ["DAX", "SMI", "CAC", "FTSE"]


def main(output: Path = Path("market_regimes.png")) -> None:
    prices = np.loadtxt(Path(__file__).parent / "eustockmarkets.csv", delimiter=",", skiprows=1)
    returns = 100 * np.diff(np.log(prices), axis=0)

    # Days without a change (holidays) would pull a state to zero variance: the floor is a thousandth of the data's.
    settings = {"covariance_type": "full", "covariance_floor": 1e-3, "n_init": 3, "random_state": 0}
    candidates = {k: GaussianHMM(k, **settings).fit(returns) for k in (1, 2, 3)}
    for k, candidate in candidates.items():
        print(f"states: {k}, bic: {candidate.bic(returns):.1f}")
    hmm = candidates[3]

    share = hmm.get_stationary_distribution()
    order = np.argsort(np.trace(hmm.covars_, axis1=1, axis2=2))
    print("state     share  mean days  DAX mean  DAX sd  DAX-CAC correlation")
    for k in order:
        sd = np.sqrt(np.diag(hmm.covars_[k]))
        correlation = hmm.covars_[k][0, 2] / (sd[0] * sd[2])
        days = 1 / (1 - hmm.transmat_[k, k])
        print(f"{k:5d}  {share[k]:8.3f}  {days:9.1f}  {hmm.means_[k, 0]:8.3f}  {sd[0]:6.3f}  {correlation:6.3f}")
    tomorrow = hmm.predict_next_proba(returns)[0]
    print("tomorrow:", ", ".join(f"state {k} {tomorrow[k]:.3f}" for k in order))

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.5), layout="constrained", width_ratios=[2.2, 1])
    hmm.plot_states(returns, ax=left)
    left.set(title="Daily returns of the DAX over the states", xlabel="day", ylabel="return (%)")
    hmm.plot_transitions(ax=right)
    right.set_title("How the states follow each other")
    figure.savefig(output, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
