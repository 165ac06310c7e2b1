"""fastem and its peers, in the same process from the same parameters: time per iteration of EM and log-likelihood.

`python -m benchmarks.bench_versus` prints the table.

The time per iteration is the difference between a longer and a shorter fit, divided by the iterations between them.
So whatever a fit does once cancels: validation, the survey of the data, the start, the last E-step.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from benchmarks import common
from benchmarks.common import PROFILE, PROFILES, WORKLOADS, Parameters, Workload
from fastem import GaussianMixture

SHORT, LONG = 1, 6


def fit_estimator(estimator: type, X: np.ndarray, workload: Workload, n_iter: int) -> Parameters:
    """Fit fastem's or scikit-learn's estimator for exactly `n_iter` iterations."""
    # scikit-learn may run its default, k-means, even where every parameter is given.
    settings = {**common.start_settings(workload), "init_params": "random_from_data", "tol": 0.0}
    with common.quiet():
        mixture = estimator(**settings, max_iter=n_iter).fit(X)
    if mixture.n_iter_ != n_iter:
        raise RuntimeError(f"{estimator.__module__} stopped after {mixture.n_iter_} of {n_iter} iterations")
    return common.parameters_of(mixture)


def fit_daal4py(X: np.ndarray, workload: Workload, n_iter: int) -> Parameters:
    """Fit oneDAL's em_gmm (of the package scikit-learn-intelex) for exactly `n_iter` iterations."""
    from daal4py import em_gmm

    start = common.start_of(workload)
    diagonal = workload.covariance_type == "diag"
    covariances = start.covariances_as("diag")[:, None, :] if diagonal else start.covariances
    algorithm = em_gmm(
        workload.n_components,
        maxIterations=n_iter,
        accuracyThreshold=0.0,
        covarianceStorage="diagonal" if diagonal else "full",
        regularizationFactor=0.0,
    )
    result = algorithm.compute(X, start.weights[None, :], start.means, list(covariances))
    if int(result.nIterations[0, 0]) != n_iter:
        raise RuntimeError(f"em_gmm stopped after {int(result.nIterations[0, 0])} of {n_iter} iterations")
    fitted = np.array(result.covariances)
    fitted = fitted[:, 0, :] if diagonal else fitted
    return Parameters.of_type(workload.covariance_type, result.weights[0], result.means, fitted)


Fit = Callable[[np.ndarray, Workload, int], Parameters]

# By the name of the module that must be installed.
PEERS: dict[str, Fit] = {"sklearn": partial(fit_estimator, SklearnGaussianMixture), "daal4py": fit_daal4py}


def is_usable(peer: str) -> bool:
    """Whether a peer is installed, in a version that agrees with the others."""
    try:
        import_module(peer)
    except ImportError:
        return False
    return True


class Outcome(NamedTuple):
    """Seconds per iteration, one value for each round; log-likelihood per row after `LONG` iterations."""

    seconds: list[float]
    log_likelihood: float

    def ns_per_row(self, workload: Workload) -> float:
        return 1e9 * float(np.median(self.seconds)) / workload.n_rows

    def ratio_to(self, other: Outcome) -> float:
        """Median over the rounds of the ratio of the times in that round."""
        return float(np.median(np.divide(self.seconds, other.seconds)))

    def log_likelihood_difference(self, other: Outcome) -> float:
        return common.relative_error(self.log_likelihood, other.log_likelihood)


def seconds_per_iteration(fit: Callable[[int], Any], seconds: float) -> float:
    """Time of one iteration; fits are repeated for at least `seconds`, so that short ones are not lost in noise."""
    short = common.seconds_per_call(partial(fit, SHORT), seconds / 2)
    return (common.seconds_per_call(partial(fit, LONG), seconds / 2) - short) / (LONG - SHORT)


def compare(workload: Workload, *, rounds: int, seconds: float) -> dict[str, Outcome]:
    """Outcomes of fastem and of each usable peer, measured in turn."""
    X = common.rows_of(workload)
    usable: dict[str, Fit] = {"fastem": partial(fit_estimator, GaussianMixture)}
    usable |= {name: fit for name, fit in PEERS.items() if is_usable(name)}
    fits = {name: partial(fit, X, workload) for name, fit in usable.items()}
    outcomes = {name: Outcome([], common.mean_log_likelihood(X, fit(LONG))) for name, fit in fits.items()}
    for _ in range(rounds):
        for name, fit in fits.items():
            outcomes[name].seconds.append(seconds_per_iteration(fit, seconds))
    return outcomes


class Versus:
    """Each peer against fastem."""

    params = (WORKLOADS, list(PEERS))
    param_names = ("workload", "peer")

    def setup_cache(self) -> dict[Workload, dict[str, Outcome]]:
        profile = PROFILES[PROFILE]
        return {
            workload: compare(workload, rounds=profile.rounds, seconds=profile.seconds) for workload in self.params[0]
        }

    setup_cache.timeout = 7200

    def setup(self, outcomes: dict[Workload, dict[str, Outcome]], workload: Workload, peer: str) -> None:
        if peer not in outcomes[workload]:
            raise NotImplementedError(f"{peer} is not usable here")
        self.ours, self.theirs = outcomes[workload]["fastem"], outcomes[workload][peer]

    def track_ratio(self, outcomes: dict[Workload, dict[str, Outcome]], workload: Workload, peer: str) -> float:
        return self.theirs.ratio_to(self.ours)

    track_ratio.unit = "time of the peer / time of fastem"

    def track_ns_per_row(self, outcomes: dict[Workload, dict[str, Outcome]], workload: Workload, peer: str) -> float:
        return self.theirs.ns_per_row(workload)

    track_ns_per_row.unit = "ns"

    def track_log_likelihood_difference(
        self, outcomes: dict[Workload, dict[str, Outcome]], workload: Workload, peer: str
    ) -> float:
        return self.ours.log_likelihood_difference(self.theirs)

    track_log_likelihood_difference.unit = "relative"
    track_log_likelihood_difference.bound = 1e-9


def table(workloads: Iterable[Workload], *, rounds: int, seconds: float) -> Iterable[str]:
    """Lines of the comparison, each as soon as it is measured."""
    yield f"{'workload':<24}{'peer':<10}{'fastem ns':>12}{'peer ns':>12}{'ratio':>9}{'loglik difference':>20}"
    for workload in workloads:
        outcomes = compare(workload, rounds=rounds, seconds=seconds)
        ours = outcomes.pop("fastem")
        for peer, theirs in outcomes.items():
            yield (
                f"{workload!r:<24}{peer:<10}{ours.ns_per_row(workload):>12.2f}{theirs.ns_per_row(workload):>12.1f}"
                f"{theirs.ratio_to(ours):>9.1f}{ours.log_likelihood_difference(theirs):>20.1e}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time per row and iteration of EM: fastem against installed peers.")
    parser.add_argument("--profile", choices=sorted(PROFILES), default=PROFILE, help="sizes (default: %(default)s)")
    parser.add_argument("--workload", default="", metavar="TEXT", help="only workloads that contain TEXT, as in 'D=8 '")
    parser.add_argument("--repeat", type=int, help="rounds (default: the profile's)")
    given = parser.parse_args()
    profile = PROFILES[given.profile]
    chosen = [workload for workload in common.workloads(given.profile) if given.workload in repr(workload)]
    for line in table(chosen, rounds=given.repeat or profile.rounds, seconds=profile.seconds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
