"""Loops over a block of rows that the Gaussian families share."""

from __future__ import annotations

from fastem._jit import block_function
from fastem.blocks import BLOCK


@block_function
def centre_block(x, mean, centred):
    """Set ``centred[j, i] = x[j, i] - mean[j]``."""
    for j in range(mean.shape[0]):
        for i in range(BLOCK):
            centred[j, i] = x[j, i] - mean[j]


@block_function
def weighted_centre_block(x, mean, resp, centred, weighted, sx):
    """Set ``centred = x - mean`` and ``weighted = resp * centred``, and add the latter's sums to `sx`."""
    for j in range(mean.shape[0]):
        total = 0.0
        for i in range(BLOCK):
            difference = x[j, i] - mean[j]
            centred[j, i] = difference
            weighted[j, i] = resp[i] * difference
            total += resp[i] * difference
        sx[j] += total


@block_function
def sum_block(row):
    total = 0.0
    for i in range(BLOCK):
        total += row[i]
    return total


@block_function
def log_prob_of_scaled(x, mean, inverse_sd, log_norm, log_prob):
    """Set the normal log-density of independent features: log_norm - sum_j ((x[j] - mean[j]) * inverse_sd[j])^2 / 2."""
    n_features = mean.shape[0]
    whole = n_features - n_features % 4
    for i in range(BLOCK):
        log_prob[i] = log_norm
    for j in range(0, whole, 4):
        m0, m1, m2, m3 = mean[j], mean[j + 1], mean[j + 2], mean[j + 3]
        p0, p1, p2, p3 = inverse_sd[j], inverse_sd[j + 1], inverse_sd[j + 2], inverse_sd[j + 3]
        for i in range(BLOCK):
            z0, z1 = (x[j, i] - m0) * p0, (x[j + 1, i] - m1) * p1
            z2, z3 = (x[j + 2, i] - m2) * p2, (x[j + 3, i] - m3) * p3
            log_prob[i] -= 0.5 * (z0 * z0 + z1 * z1 + z2 * z2 + z3 * z3)
    for j in range(whole, n_features):
        m0, p0 = mean[j], inverse_sd[j]
        for i in range(BLOCK):
            z0 = (x[j, i] - m0) * p0
            log_prob[i] -= 0.5 * (z0 * z0)


@block_function
def log_prob_of_white(white, white_mean, log_norm, log_prob):
    """Set the normal log-density of whitened rows: log_norm - sum_j (white[j] - white_mean[j])^2 / 2."""
    n_features = white_mean.shape[0]
    whole = n_features - n_features % 4
    for i in range(BLOCK):
        log_prob[i] = log_norm
    for j in range(0, whole, 4):
        m0, m1, m2, m3 = white_mean[j], white_mean[j + 1], white_mean[j + 2], white_mean[j + 3]
        for i in range(BLOCK):
            z0, z1, z2, z3 = white[j, i] - m0, white[j + 1, i] - m1, white[j + 2, i] - m2, white[j + 3, i] - m3
            log_prob[i] -= 0.5 * (z0 * z0 + z1 * z1 + z2 * z2 + z3 * z3)
    for j in range(whole, n_features):
        m0 = white_mean[j]
        for i in range(BLOCK):
            z0 = white[j, i] - m0
            log_prob[i] -= 0.5 * (z0 * z0)


@block_function
def triangular_product(factor, centred, product):
    """Set ``product = factor @ centred`` for a lower triangular factor (D, D), in 4 x 4 register tiles."""
    n_features = factor.shape[0]
    whole = n_features - n_features % 4
    for a in range(0, whole, 4):
        f00 = factor[a, a]
        f10, f11 = factor[a + 1, a], factor[a + 1, a + 1]
        f20, f21, f22 = factor[a + 2, a], factor[a + 2, a + 1], factor[a + 2, a + 2]
        f30, f31, f32, f33 = factor[a + 3, a], factor[a + 3, a + 1], factor[a + 3, a + 2], factor[a + 3, a + 3]
        for i in range(BLOCK):
            c0, c1, c2, c3 = centred[a, i], centred[a + 1, i], centred[a + 2, i], centred[a + 3, i]
            product[a, i] = f00 * c0
            product[a + 1, i] = f10 * c0 + f11 * c1
            product[a + 2, i] = f20 * c0 + f21 * c1 + f22 * c2
            product[a + 3, i] = f30 * c0 + f31 * c1 + f32 * c2 + f33 * c3
        for b in range(0, a, 4):
            f00, f01, f02, f03 = factor[a, b], factor[a, b + 1], factor[a, b + 2], factor[a, b + 3]
            f10, f11, f12, f13 = factor[a + 1, b], factor[a + 1, b + 1], factor[a + 1, b + 2], factor[a + 1, b + 3]
            f20, f21, f22, f23 = factor[a + 2, b], factor[a + 2, b + 1], factor[a + 2, b + 2], factor[a + 2, b + 3]
            f30, f31, f32, f33 = factor[a + 3, b], factor[a + 3, b + 1], factor[a + 3, b + 2], factor[a + 3, b + 3]
            for i in range(BLOCK):
                c0, c1, c2, c3 = centred[b, i], centred[b + 1, i], centred[b + 2, i], centred[b + 3, i]
                product[a, i] += f00 * c0 + f01 * c1 + f02 * c2 + f03 * c3
                product[a + 1, i] += f10 * c0 + f11 * c1 + f12 * c2 + f13 * c3
                product[a + 2, i] += f20 * c0 + f21 * c1 + f22 * c2 + f23 * c3
                product[a + 3, i] += f30 * c0 + f31 * c1 + f32 * c2 + f33 * c3
    for a in range(whole, n_features):
        for i in range(BLOCK):
            product[a, i] = 0.0
        for b in range(0, whole, 4):
            f0, f1, f2, f3 = factor[a, b], factor[a, b + 1], factor[a, b + 2], factor[a, b + 3]
            for i in range(BLOCK):
                product[a, i] += (
                    f0 * centred[b, i] + f1 * centred[b + 1, i] + f2 * centred[b + 2, i] + f3 * centred[b + 3, i]
                )
        for b in range(whole, a + 1):
            f0 = factor[a, b]
            for i in range(BLOCK):
                product[a, i] += f0 * centred[b, i]


@block_function
def add_scatter(weighted, centred, scatter):
    """Add ``weighted @ centred.T`` to the lower triangle of `scatter` (D, D), in 4 x 4 register tiles."""
    n_features = scatter.shape[0]
    whole = n_features - n_features % 4
    for a in range(0, whole, 4):
        for b in range(0, a + 1, 4):
            _add_tile(weighted, centred, a, b, scatter)
    for a in range(whole, n_features):
        for b in range(0, whole, 4):
            s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
            for i in range(BLOCK):
                w = weighted[a, i]
                s0 += w * centred[b, i]
                s1 += w * centred[b + 1, i]
                s2 += w * centred[b + 2, i]
                s3 += w * centred[b + 3, i]
            scatter[a, b] += s0
            scatter[a, b + 1] += s1
            scatter[a, b + 2] += s2
            scatter[a, b + 3] += s3
        for b in range(whole, a + 1):
            s0 = 0.0
            for i in range(BLOCK):
                s0 += weighted[a, i] * centred[b, i]
            scatter[a, b] += s0


@block_function
def _add_tile(weighted, centred, a, b, scatter):
    s00, s01, s02, s03 = 0.0, 0.0, 0.0, 0.0
    s10, s11, s12, s13 = 0.0, 0.0, 0.0, 0.0
    s20, s21, s22, s23 = 0.0, 0.0, 0.0, 0.0
    s30, s31, s32, s33 = 0.0, 0.0, 0.0, 0.0
    for i in range(BLOCK):
        w0, w1, w2, w3 = weighted[a, i], weighted[a + 1, i], weighted[a + 2, i], weighted[a + 3, i]
        c0, c1, c2, c3 = centred[b, i], centred[b + 1, i], centred[b + 2, i], centred[b + 3, i]
        s00 += w0 * c0
        s01 += w0 * c1
        s02 += w0 * c2
        s03 += w0 * c3
        s10 += w1 * c0
        s11 += w1 * c1
        s12 += w1 * c2
        s13 += w1 * c3
        s20 += w2 * c0
        s21 += w2 * c1
        s22 += w2 * c2
        s23 += w2 * c3
        s30 += w3 * c0
        s31 += w3 * c1
        s32 += w3 * c2
        s33 += w3 * c3
    scatter[a, b] += s00
    scatter[a, b + 1] += s01
    scatter[a, b + 2] += s02
    scatter[a, b + 3] += s03
    scatter[a + 1, b] += s10
    scatter[a + 1, b + 1] += s11
    scatter[a + 1, b + 2] += s12
    scatter[a + 1, b + 3] += s13
    scatter[a + 2, b] += s20
    scatter[a + 2, b + 1] += s21
    scatter[a + 2, b + 2] += s22
    scatter[a + 2, b + 3] += s23
    scatter[a + 3, b] += s30
    scatter[a + 3, b + 1] += s31
    scatter[a + 3, b + 2] += s32
    scatter[a + 3, b + 3] += s33
