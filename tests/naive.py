"""Slow, obviously right twins of everything that is compiled: one row and one component at a time, in NumPy."""

from __future__ import annotations

import itertools
from math import exp, lgamma, log, pi
from typing import NamedTuple

import numpy as np
from scipy.integrate import quad
from scipy.special import digamma, polygamma


class NaiveStats(NamedTuple):
    loglik: float
    n: np.ndarray
    sx: np.ndarray
    sxx: np.ndarray


def covariance_matrix(covariance_type, covariances, k, n_features):
    """Covariance matrix (D, D) of component k, whatever the type."""
    if covariance_type == "full":
        return covariances[k]
    if covariance_type == "tied":
        return covariances
    if covariance_type == "diag":
        return np.diag(covariances[k])
    return covariances[k] * np.eye(n_features)


def log_prob(x, mean, covariance):
    """Log-density of one row under one normal distribution, in nats."""
    _, log_determinant = np.linalg.slogdet(covariance)
    return -0.5 * (len(x) * np.log(2 * np.pi) + log_determinant + squared_distance(x, mean, covariance))


def squared_distance(x, mean, matrix):
    """Mahalanobis' squared distance."""
    d = x - mean
    return d @ np.linalg.solve(matrix, d)


def student_log_prob(x, location, scale, df):
    """Log-density of one row under one multivariate t-distribution, in nats."""
    p = len(x)
    _, log_determinant = np.linalg.slogdet(scale)
    log_norm = lgamma((df + p) / 2) - lgamma(df / 2) - 0.5 * (p * log(np.pi * df) + log_determinant)
    return log_norm - 0.5 * (df + p) * np.log1p(squared_distance(x, location, scale) / df)


def df_derivatives(u, df, n_features):
    """Twice the derivatives of a row's log-density by the degrees of freedom: the first, and about the second."""
    half, total = df / 2, (df + n_features) / 2
    pull = digamma(total) - np.log(total) - digamma(half) + np.log(half) + 1 + np.log(u) - u
    bend = polygamma(1, total) / 2 - 1 / (df + n_features) - polygamma(1, half) / 2 + 1 / df
    return pull, bend + (1 - u) ** 2 / (df + n_features)


def student_weights(X, locations, scales, df):
    """What the hidden scale of each row is expected to be under each component (N, K)."""
    p = X.shape[1]
    pairs = list(zip(locations, scales, strict=True))
    return np.array([[(df + p) / (df + squared_distance(x, *pair)) for pair in pairs] for x in X])


def joint(X, weights, component_log_prob):
    """log of weight * density, (N, K), for a function of a row and a component."""
    return np.array([[np.log(w) + component_log_prob(x, k) for k, w in enumerate(weights)] for x in X])


def log_joint(X, weights, means, covariances, covariance_type):
    """The same for normal distributions."""
    matrices = [covariance_matrix(covariance_type, covariances, k, len(mean)) for k, mean in enumerate(means)]
    return joint(X, weights, lambda x, k: log_prob(x, means[k], matrices[k]))


def log_likelihood(joint):
    """Log-likelihood of each row, by log-sum-exp."""
    highest = joint.max(axis=1)
    return highest + np.log(np.exp(joint - highest[:, None]).sum(axis=1))


def responsibilities(joint):
    return np.exp(joint - log_likelihood(joint)[:, None])


def e_step(X, row_weight, weights, means, covariances, covariance_type):
    """Expected statistics about the current means; `sxx` is always (K, D, D)."""
    X = np.asarray(X, dtype=np.float64)
    joint = log_joint(X, weights, means, covariances, covariance_type)
    stats = moments(X, responsibilities(joint) * row_weight[:, None], means)
    return stats._replace(loglik=float(row_weight @ log_likelihood(joint)))


def moments(X, resp, means):
    """Moments about the means of rows with responsibilities (N, K); `sxx` is always (K, D, D)."""
    n_components, n_features = means.shape
    sx = np.zeros((n_components, n_features))
    sxx = np.zeros((n_components, n_features, n_features))
    for x, r in zip(X, resp, strict=True):
        for k in range(n_components):
            d = x - means[k]
            sx[k] += r[k] * d
            sxx[k] += r[k] * np.outer(d, d)
    return NaiveStats(0.0, resp.sum(axis=0), sx, sxx)


def gradients(X, weights, means, covariances, covariance_type):
    """Derivatives of each row's log-likelihood: by weights (N, K), means (N, K, D), covariance matrices (N, K, D, D).

    The weights and all entries of the matrices count as free; of a tied covariance, each component's copy.
    """
    resp = responsibilities(log_joint(X, weights, means, covariances, covariance_type))
    n_components, n_features = means.shape
    of_means = np.zeros((len(X), n_components, n_features))
    of_covariances = np.zeros((len(X), n_components, n_features, n_features))
    for i, x in enumerate(X):
        for k in range(n_components):
            precision = np.linalg.inv(covariance_matrix(covariance_type, covariances, k, n_features))
            pull = precision @ (x - means[k])
            of_means[i, k] = resp[i, k] * pull
            of_covariances[i, k] = 0.5 * resp[i, k] * (np.outer(pull, pull) - precision)
    return resp / weights, of_means, of_covariances


def reduce_scatter(sxx, covariance_type):
    """The (K, D, D) moments in the shape of a covariance type."""
    if covariance_type == "full":
        return sxx
    if covariance_type == "tied":
        return sxx.sum(axis=0)
    diagonals = np.array([np.diag(matrix) for matrix in sxx])
    return diagonals if covariance_type == "diag" else diagonals.sum(axis=1)


def m_step(stats, means, covariance_type):
    """Maximum-likelihood weights, means and covariances from statistics about `means`."""
    weights = stats.n / stats.n.sum()
    offset = stats.sx / stats.n[:, None]
    covariances = np.array([sxx / n - np.outer(d, d) for n, sxx, d in zip(stats.n, stats.sxx, offset, strict=True)])
    n_features = means.shape[1]
    if covariance_type == "tied":
        covariances = np.einsum("k,kij->ij", weights, covariances)
    elif covariance_type == "diag":
        covariances = np.array([np.diag(matrix) for matrix in covariances])
    elif covariance_type == "spherical":
        covariances = np.array([np.trace(matrix) / n_features for matrix in covariances])
    return weights, means + offset, covariances


def fit(X, weights, means, covariances, covariance_type, n_iter, row_weight=None):
    """Plain EM for a fixed number of iterations."""
    row_weight = np.ones(len(X)) if row_weight is None else row_weight
    for _ in range(n_iter):
        stats = e_step(X, row_weight, weights, means, covariances, covariance_type)
        weights, means, covariances = m_step(stats, means, covariance_type)
    return weights, means, covariances


def free_energy(joint, resp):
    """Neal & Hinton's F of rows with these responsibilities: expected log joint density plus entropy."""
    entropy = -np.where(resp > 0, resp * np.log(np.where(resp > 0, resp, 1.0)), 0.0)
    return float((resp * joint + entropy).sum())


def bin_moments(lower, upper, mean, sd):
    """Of x - mean, x normal, in one bin: log-probability, mean and mean square, by numerical integration."""
    # Densities relative to the largest one in the bin, so that a far tail is integrated, too.
    nearest = min(max(mean, lower), upper)
    peak = -0.5 * ((nearest - mean) / sd) ** 2
    reach = sd * 40 / (1 + abs(nearest - mean) / sd)
    halves = ((max(lower - nearest, -reach), 0.0), (0.0, min(upper - nearest, reach)))

    def integral(power):
        def value(step):
            z = (nearest - mean + step) / sd
            return z**power * np.exp(-0.5 * (step / sd) * (z + (nearest - mean) / sd))

        return sum(quad(value, a, b, epsabs=0, epsrel=1e-12, limit=400)[0] for a, b in halves if a < b)

    mass = integral(0)
    log_prob = np.log(mass / sd) + peak - 0.5 * np.log(2 * np.pi)
    return log_prob, sd * integral(1) / mass, sd**2 * integral(2) / mass


def binned_e_step(counts, edges, weights, means, variances):
    """Expected statistics of a histogram about the current means (K,); `sxx` is (K,)."""
    n, sx, sxx = np.zeros((3, len(weights)))
    loglik = 0.0
    for count, lower, upper in zip(counts, edges[:-1], edges[1:], strict=True):
        moments = [bin_moments(lower, upper, mean, np.sqrt(v)) for mean, v in zip(means, variances, strict=True)]
        joint = np.log(weights) + np.array([log_prob for log_prob, _, _ in moments])
        total = np.logaddexp.reduce(joint)
        loglik += count * total
        for k, (_, first, second) in enumerate(moments):
            resp = count * np.exp(joint[k] - total)
            n[k] += resp
            sx[k] += resp * first
            sxx[k] += resp * second
    return NaiveStats(loglik, n, sx, sxx)


class NaiveChain(NamedTuple):
    """What a chain says of one sequence: loglik of each row given those before, p(state | ...), expected counts."""

    loglik: np.ndarray
    filtered: np.ndarray
    smoothed: np.ndarray
    transitions: np.ndarray


def _log(values):
    with np.errstate(divide="ignore"):
        return np.log(values)


def _log_sum(values, axis):
    highest = values.max(axis=axis, keepdims=True)
    highest = np.where(np.isfinite(highest), highest, 0.0)
    return _log(np.exp(values - highest).sum(axis=axis)) + highest.squeeze(axis)


def chain(log_emission, startprob, transmat):
    """Forward-backward over one sequence of log-densities (T, K), entirely in logarithms.

    A row that is impossible, given those before it, has the log-likelihood -inf and tells nothing of the states.
    """
    n_rows, n_states = log_emission.shape
    log_emission, log_transmat = log_emission.copy(), _log(transmat)
    alpha, beta = np.empty((n_rows, n_states)), np.zeros((n_rows, n_states))
    loglik = np.empty(n_rows)
    for t in range(n_rows):
        before = _log_sum(alpha[t - 1][:, None] + log_transmat, axis=0) if t > 0 else _log(startprob)
        impossible = np.all(before + log_emission[t] == -np.inf)
        if impossible:
            log_emission[t] = 0.0
        alpha[t] = before + log_emission[t]
        total = _log_sum(alpha[t], axis=0)
        loglik[t] = -np.inf if impossible else total
        # Scaled at every row: sums over all rows would have lost digits.
        alpha[t] -= total
    transitions = np.zeros((n_states, n_states))
    for t in range(n_rows - 2, -1, -1):
        joint = alpha[t][:, None] + log_transmat + log_emission[t + 1] + beta[t + 1]
        transitions += np.exp(joint - _log_sum(joint.ravel(), axis=0))
        beta[t] = _log_sum(log_transmat + log_emission[t + 1] + beta[t + 1], axis=1)
        beta[t] -= beta[t].max()
    joint = alpha + beta
    smoothed = np.exp(joint - _log_sum(joint, axis=1)[:, None])
    return NaiveChain(loglik, np.exp(alpha), smoothed, transitions)


def chain_of_entries(log_prob, params, component):
    """A chain whose states draw from several components, as one whose states are the entries (component, state).

    From log-densities of components (T, K): `smoothed` and `filtered` are of entries, and so are `transitions`.
    """
    state, weights = params.entry_state, params.weights
    startprob = params.startprob[state] * weights
    return chain(log_prob[:, component], startprob, params.transmat[np.ix_(state, state)] * weights)


def mixed_emission(log_prob, params, component):
    """Log-densities of rows in states (T, S), from those under components (T, K)."""
    joint = log_prob[:, component] + _log(params.weights)
    return np.stack([_log_sum(joint[:, params.entry_state == s], axis=1) for s in range(params.startprob.size)], axis=1)


def best_path_log_prob(log_emission, startprob, transmat):
    """Log-density of the rows together with the most probable path (Viterbi), and one such path."""
    log_transmat = _log(transmat)
    message, back = _log(startprob) + log_emission[0], []
    for row in log_emission[1:]:
        joint = message[:, None] + log_transmat
        back.append(joint.argmax(axis=0))
        message = joint.max(axis=0) + row
    path = [message.argmax()]
    for step in reversed(back):
        path.append(step[path[-1]])
    return message.max(), np.array(path[::-1])


def paths(n_rows, n_states):
    """All sequences of states (n_states ** n_rows, n_rows)."""
    return np.array(list(itertools.product(range(n_states), repeat=n_rows)))


def log_prob_of_paths(log_emission, startprob, transmat):
    """Log-density of rows and states together, for each of `paths`."""
    n_rows, n_states = log_emission.shape
    values = []
    for path in paths(n_rows, n_states):
        value = _log(startprob)[path[0]] + sum(log_emission[t, k] for t, k in enumerate(path))
        values.append(value + sum(_log(transmat)[a, b] for a, b in itertools.pairwise(path)))
    return np.array(values)


def chains(X, lengths, params, log_prob):
    """What a chain says of each sequence; `log_prob` is that of a row under a component."""
    ones = np.ones(params.startprob.size)
    parts = np.split(X, np.cumsum(lengths)[:-1])
    return [chain(joint(rows, ones, log_prob), params.startprob, params.transmat) for rows in parts]


# Columns of counts, binary values, positive numbers and categories: log-densities of one value, in nats.


def poisson(x, mean):
    return x * log(mean) - mean - lgamma(x + 1)


def bernoulli(x, p):
    return log(p) if x == 1 else log(1 - p)


def exponential(x, mean):
    return -x / mean - log(mean)


def gamma(x, shape, scale):
    return (shape - 1) * log(x) - x / scale - shape * log(scale) - lgamma(shape)


def inverse_gaussian(x, mean, shape):
    return 0.5 * log(shape / (2 * pi * x**3)) - shape * (x - mean) ** 2 / (2 * mean**2 * x)


def log_normal(x, mean_log, sd_log):
    return normal(log(x), mean_log, sd_log**2) - log(x)


def beta(x, a, b):
    return (a - 1) * log(x) + (b - 1) * log(1 - x) + lgamma(a + b) - lgamma(a) - lgamma(b)


def von_mises(x, direction, concentration):
    turn = np.linspace(-pi, pi, 20_001)[:-1]
    total = np.exp(concentration * (np.cos(turn) - 1)).mean() * 2 * pi
    return concentration * (np.cos(x - direction) - 1) - log(total)


def negative_binomial(x, mean, size):
    choose = lgamma(x + size) - lgamma(size) - lgamma(x + 1)
    return choose + size * log(size / (size + mean)) + x * log(mean / (size + mean))


def zero_inflated_poisson(x, rate, zero):
    return log((zero if x == 0 else 0) + (1 - zero) * exp(poisson(x, rate)))


def hurdle_poisson(x, rate, zero):
    if x == 0:
        return log(zero)
    return log(1 - zero) + poisson(x, rate) - log(1 - exp(-rate))


def geometric(x, mean):
    return x * log(mean / (1 + mean)) - log(1 + mean)


def normal(x, mean, variance):
    return -0.5 * (log(2 * np.pi * variance) + (x - mean) ** 2 / variance)


def categorical(x, p):
    return log(p[int(x)])


def multinomial(row, p):
    return lgamma(sum(row) + 1) + sum(x * log(q) - lgamma(x + 1) for x, q in zip(row, p, strict=True))


def eta_of(x, centre, values):
    """The linear predictor of a row of covariates."""
    return values[0] + sum(b * (xj - cj) for b, xj, cj in zip(values[1:], x, centre, strict=True))


def binomial(y, trials, eta):
    p = 1 / (1 + exp(-eta))
    return lgamma(trials + 1) - lgamma(y + 1) - lgamma(trials - y + 1) + y * log(p) + (trials - y) * log(1 - p)


def regression_log_prob(response, y, size, eta, dispersion):
    """The log-density of a response, in the words of a textbook."""
    if response == "Linear":
        return normal(y, eta, dispersion)
    if response == "PoissonRegression":
        return poisson(y, size * exp(eta))
    if response == "BinomialRegression":
        return binomial(y, size, eta)
    return gamma(y, 1 / dispersion, exp(eta) * dispersion)


def _pull_weight_loss(response, y, size, eta):
    """Minus the derivative of the loss, its (expected) second derivative, and the loss where there is a dispersion."""
    if response == "Linear":
        return y - eta, 1.0, 0.5 * (y - eta) ** 2
    if response == "PoissonRegression":
        return y - size * exp(eta), size * exp(eta), 0.0
    if response == "BinomialRegression":
        p = 1 / (1 + exp(-eta))
        return y - size * p, size * p * (1 - p), 0.0
    u = y / exp(eta)
    return u - 1, 1.0, u - 1 - log(u)


def regression_stats(response, X, resp, centre, values, has_size):
    """The sums of a step of least squares, by name; rows without a response count nowhere."""
    k, q = values.shape
    totals = {
        "n": np.zeros(k), "loss": np.zeros(k), "score": np.zeros((k, q)), "mass": np.zeros(k),
        "sx": np.zeros((k, q - 1)), "sxx": np.zeros((k, q - 1, q - 1)),
    }  # fmt: skip
    for row, r in zip(X, resp, strict=True):
        x, y, size = row[: q - 1], row[q - 1], row[q] if has_size else 1.0
        for c in range(k):
            if np.isnan(y):
                continue
            pull, weight, loss = _pull_weight_loss(response, y, size, eta_of(x, centre[c], values[c]))
            d = x - centre[c]
            totals["n"][c] += r[c]
            totals["loss"][c] += r[c] * loss
            totals["score"][c] += r[c] * pull * np.concatenate([[1.0], d])
            totals["mass"][c] += r[c] * weight
            totals["sx"][c] += r[c] * weight * d
            totals["sxx"][c] += r[c] * weight * np.tril(np.outer(d, d))
    return totals


def column_stats(X, resp, params, exposure):
    """Expected statistics of terms of all forms, by name, from responsibilities (N, K) and exposures (N,)."""
    n_read = params.linear.size - params.source.size
    functions = (lambda v: v, np.log, lambda v: np.log1p(-v), lambda v: 1 / v, np.cos, np.sin, lambda v: np.log(v) ** 2)
    totals = {
        "n": np.zeros(resp.shape[1]),
        "pseudo": np.zeros(resp.shape[1]),
        "scatter_rows": np.zeros(resp.shape[1]),
        "exposure": np.zeros(resp.shape[1]),
        "sums": np.zeros_like(params.slope),
        "sx": np.zeros_like(params.inverse_sd),
        "sxx": np.zeros_like(params.inverse_sd),
    }
    for x, r, e in zip(X, resp, exposure, strict=True):
        for k in range(len(r)):
            d = x[params.squared] - params.means[k, params.squared]
            totals["n"][k] += r[k]
            totals["exposure"][k] += r[k] * e
            terms = [x[column] for column in params.linear[:n_read]]
            terms += [functions[f](x[column]) for column, f in zip(params.source, params.transform, strict=True)]
            totals["sums"][k, : len(terms)] += r[k] * np.array(terms)
            totals["sx"][k] += r[k] * d
            totals["sxx"][k] += r[k] * d**2
            for column, first in zip(params.coded, params.first_code[:-1], strict=True):
                totals["sums"][k, first + int(x[column])] += r[k]
    return totals


def completed(x, mean, covariance):
    """A row with NaN in place of what is missing, as it is expected; and the covariance (D, D) of what is missing."""
    missing, seen = np.isnan(x), ~np.isnan(x)
    expected, conditional = np.where(missing, mean, x), np.zeros((len(x), len(x)))
    if missing.any():
        slope = covariance[np.ix_(missing, seen)] @ np.linalg.pinv(covariance[np.ix_(seen, seen)], hermitian=True)
        expected[missing] += slope @ (x - mean)[seen]
        rest = covariance[np.ix_(missing, missing)] - slope @ covariance[np.ix_(seen, missing)]
        conditional[np.ix_(missing, missing)] = rest
    return expected, conditional


def e_step_with_gaps(X, row_weight, weights, means, covariances, df=np.inf):
    """Log-likelihood, and moments of completed rows about the means, of normal or t-distributed components."""
    k, (n_rows, d) = len(weights), X.shape
    joint, u = np.empty((n_rows, k)), np.ones((n_rows, k))
    for i, x in enumerate(X):
        seen = ~np.isnan(x)
        for c in range(k):
            part = x[seen], means[c][seen], covariances[c][np.ix_(seen, seen)]
            density = 0.0
            if seen.any():
                density = log_prob(*part) if df == np.inf else student_log_prob(*part, df)
                if df < np.inf:
                    u[i, c] = (df + seen.sum()) / (df + squared_distance(*part))
            joint[i, c] = np.log(weights[c]) + density
    resp = responsibilities(joint) * row_weight[:, None]
    n, mass, sx, sxx = np.zeros(k), np.zeros(k), np.zeros((k, d)), np.zeros((k, d, d))
    for i, x in enumerate(X):
        for c in range(k):
            expected, conditional = completed(x, means[c], covariances[c])
            offset, weight = expected - means[c], resp[i, c] * u[i, c]
            n[c] += resp[i, c]
            mass[c] += weight
            sx[c] += weight * offset
            sxx[c] += weight * np.outer(offset, offset) + resp[i, c] * conditional
    return float(row_weight @ log_likelihood(joint)), n, mass, sx, sxx
