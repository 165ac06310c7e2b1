"""Loops over a block of rows that the Gaussian families share.

Matrices of more than eight features are taken in tiles of 4 x 4, whose entries or sums stay in
registers. Sizes that are no multiple of four are filled up with zeros. One line of tiles is finished
before the next begins, so that it stays in the fastest cache; the centred rows need not.

Loops over centred rows compute in the dtype of their arrays, float64 or float32: so constants are of that dtype.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fastem.passes.flags import block_function

TILE = 4


@block_function
def padded(n_features):
    """Number of features, filled up to whole tiles."""
    return n_features + -n_features % TILE


@block_function
def centre_block(x, mean, centred):
    """Set ``centred[j, i] = x[j, i] - mean[j]``; lines of `centred` beyond the features become zero."""
    n_rows = x.shape[1]
    for j in range(mean.shape[0]):
        for i in range(n_rows):
            centred[j, i] = x[j, i] - mean[j]
    for j in range(mean.shape[0], centred.shape[0]):
        for i in range(n_rows):
            centred[j, i] = 0.0


@block_function
def sum_block(row):
    n_rows = row.shape[0]
    total = row.dtype.type(0.0)
    for i in range(n_rows):
        total += row[i]
    return total


@block_function
def log_prob_of_scaled(x, mean, inverse_sd, log_norm, log_prob):
    """Set the normal log-density of independent features: log_norm - sum_j ((x[j] - mean[j]) * inverse_sd[j])^2 / 2."""
    for i in range(log_prob.shape[0]):
        log_prob[i] = log_norm
    n_features = mean.shape[0]
    if n_features <= 4:
        _subtract_four_scaled(x, mean, inverse_sd, 0, log_prob)
        return
    for a in range(0, n_features, 8):
        _subtract_eight_scaled(x, mean, inverse_sd, a, log_prob)


@block_function
def _four_scales(mean, inverse_sd, a):
    """Features a to a + 3, their means and scales; any beyond is the last one, scaled by zero."""
    last = mean.shape[0] - 1
    j0, j1, j2, j3 = min(a, last), min(a + 1, last), min(a + 2, last), min(a + 3, last)
    return (
        j0, j1, j2, j3,
        mean[j0], mean[j1], mean[j2], mean[j3],
        inverse_sd[j0] if a <= last else 0.0, inverse_sd[j1] if a + 1 <= last else 0.0,
        inverse_sd[j2] if a + 2 <= last else 0.0, inverse_sd[j3] if a + 3 <= last else 0.0,
    )  # fmt: skip


@block_function
def _subtract_four_scaled(x, mean, inverse_sd, a, log_prob):
    j0, j1, j2, j3, m0, m1, m2, m3, p0, p1, p2, p3 = _four_scales(mean, inverse_sd, a)
    for i in range(log_prob.shape[0]):
        z0, z1, z2, z3 = (x[j0, i] - m0) * p0, (x[j1, i] - m1) * p1, (x[j2, i] - m2) * p2, (x[j3, i] - m3) * p3
        log_prob[i] -= 0.5 * ((z0 * z0 + z1 * z1) + (z2 * z2 + z3 * z3))


@block_function
def _subtract_eight_scaled(x, mean, inverse_sd, a, log_prob):
    j0, j1, j2, j3, m0, m1, m2, m3, p0, p1, p2, p3 = _four_scales(mean, inverse_sd, a)
    j4, j5, j6, j7, m4, m5, m6, m7, p4, p5, p6, p7 = _four_scales(mean, inverse_sd, a + 4)
    for i in range(log_prob.shape[0]):
        z0, z1, z2, z3 = (x[j0, i] - m0) * p0, (x[j1, i] - m1) * p1, (x[j2, i] - m2) * p2, (x[j3, i] - m3) * p3
        z4, z5, z6, z7 = (x[j4, i] - m4) * p4, (x[j5, i] - m5) * p5, (x[j6, i] - m6) * p6, (x[j7, i] - m7) * p7
        low = (z0 * z0 + z1 * z1) + (z2 * z2 + z3 * z3)
        high = (z4 * z4 + z5 * z5) + (z6 * z6 + z7 * z7)
        log_prob[i] -= 0.5 * (low + high)


@block_function
def moments_of_four(x, mean, resp, a):
    """Sums of ``resp * (x - mean)`` and ``resp * (x - mean)^2`` of features a to a + 3; any beyond repeats the last."""
    last = mean.shape[0] - 1
    j1, j2, j3 = min(a + 1, last), min(a + 2, last), min(a + 3, last)
    m0, m1, m2, m3 = mean[a], mean[j1], mean[j2], mean[j3]
    zero = mean.dtype.type(0.0)
    s0, s1, s2, s3 = zero, zero, zero, zero
    q0, q1, q2, q3 = zero, zero, zero, zero
    for i in range(resp.shape[0]):
        c0, c1, c2, c3 = x[a, i] - m0, x[j1, i] - m1, x[j2, i] - m2, x[j3, i] - m3
        w0, w1, w2, w3 = resp[i] * c0, resp[i] * c1, resp[i] * c2, resp[i] * c3
        s0 += w0
        s1 += w1
        s2 += w2
        s3 += w3
        q0 += w0 * c0
        q1 += w1 * c1
        q2 += w2 * c2
        q3 += w3 * c3
    return (s0, s1, s2, s3), (q0, q1, q2, q3)


@block_function
def log_prob_of_white(white, white_mean, log_norm, log_prob):
    """Set the normal log-density of whitened rows: log_norm - sum_j (white[j] - white_mean[j])^2 / 2."""
    n_rows = white.shape[1]
    n_features = white_mean.shape[0]
    whole = n_features - n_features % 4
    for i in range(n_rows):
        log_prob[i] = log_norm
    for j in range(0, whole, 4):
        m0, m1, m2, m3 = white_mean[j], white_mean[j + 1], white_mean[j + 2], white_mean[j + 3]
        for i in range(n_rows):
            z0, z1, z2, z3 = white[j, i] - m0, white[j + 1, i] - m1, white[j + 2, i] - m2, white[j + 3, i] - m3
            log_prob[i] -= 0.5 * (z0 * z0 + z1 * z1 + z2 * z2 + z3 * z3)
    for j in range(whole, n_features):
        m0 = white_mean[j]
        for i in range(n_rows):
            z0 = white[j, i] - m0
            log_prob[i] -= 0.5 * (z0 * z0)


def n_tiles(n_features: int) -> int:
    """How many tiles a lower triangular factor is cut into."""
    n_lines = -(-n_features // TILE)
    return n_lines * (n_lines + 1) // 2


def tiles_of(factors: np.ndarray) -> np.ndarray:
    """Lower triangular factors (..., D, D) in tiles (..., T, 16), in the order in which `log_prob_tiled` reads them.

    For each line of tiles the one on the diagonal, then the others from the left: so every read
    continues where the last one ended, and the processor fetches ahead.
    """
    place, is_outside = _places_in_tiles(factors.shape[-1])
    tiles = factors.reshape(*factors.shape[:-2], -1).take(place, axis=-1)
    if is_outside is not None:
        tiles[..., is_outside] = 0.0
    return tiles


@lru_cache(maxsize=8)
def _places_in_tiles(n_features: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Where the entries of tiles (T, 16) stand in a factor, and which are beyond its features; None when none is."""
    n_lines = -(-n_features // TILE)
    within = np.arange(TILE)
    lines = [(a, b) for a in range(n_lines) for b in (a, *range(a))]
    i = np.stack([np.repeat(TILE * a + within, TILE) for a, _ in lines])
    j = np.stack([np.tile(TILE * b + within, TILE) for _, b in lines])
    is_outside = (i >= n_features) | (j >= n_features)
    place = np.where(is_outside, 0, i * n_features + j)
    return place, is_outside if is_outside.any() else None


@block_function
def _whiten_diagonal(tile, centred, a, product):
    """Set the four lines of `product` to the tile on the diagonal times lines a to a + 3 of `centred`."""
    f00, f10, f11 = tile[0], tile[4], tile[5]
    f20, f21, f22 = tile[8], tile[9], tile[10]
    f30, f31, f32, f33 = tile[12], tile[13], tile[14], tile[15]
    for i in range(centred.shape[1]):
        c0, c1, c2, c3 = centred[a, i], centred[a + 1, i], centred[a + 2, i], centred[a + 3, i]
        product[0, i] = f00 * c0
        product[1, i] = f10 * c0 + f11 * c1
        product[2, i] = f20 * c0 + f21 * c1 + f22 * c2
        product[3, i] = f30 * c0 + f31 * c1 + f32 * c2 + f33 * c3


@block_function
def whiten_more(tile, centred, b, product):
    """Add a tile times lines b to b + 3 of `centred` to the four lines of `product`."""
    f00, f01, f02, f03, f10, f11, f12, f13 = tile[0], tile[1], tile[2], tile[3], tile[4], tile[5], tile[6], tile[7]
    f20, f21, f22, f23, f30, f31 = tile[8], tile[9], tile[10], tile[11], tile[12], tile[13]
    f32, f33 = tile[14], tile[15]
    for i in range(centred.shape[1]):
        c0, c1, c2, c3 = centred[b, i], centred[b + 1, i], centred[b + 2, i], centred[b + 3, i]
        product[0, i] += f00 * c0 + f01 * c1 + f02 * c2 + f03 * c3
        product[1, i] += f10 * c0 + f11 * c1 + f12 * c2 + f13 * c3
        product[2, i] += f20 * c0 + f21 * c1 + f22 * c2 + f23 * c3
        product[3, i] += f30 * c0 + f31 * c1 + f32 * c2 + f33 * c3


@block_function
def _whiten_last(tile, centred, b, product, log_prob):
    """As `whiten_more`, but subtract half the squares of the complete lines from `log_prob`, and keep no product."""
    f00, f01, f02, f03, f10, f11, f12, f13 = tile[0], tile[1], tile[2], tile[3], tile[4], tile[5], tile[6], tile[7]
    f20, f21, f22, f23, f30, f31 = tile[8], tile[9], tile[10], tile[11], tile[12], tile[13]
    f32, f33 = tile[14], tile[15]
    half = log_prob.dtype.type(0.5)
    for i in range(centred.shape[1]):
        c0, c1, c2, c3 = centred[b, i], centred[b + 1, i], centred[b + 2, i], centred[b + 3, i]
        z0 = product[0, i] + (f00 * c0 + f01 * c1 + f02 * c2 + f03 * c3)
        z1 = product[1, i] + (f10 * c0 + f11 * c1 + f12 * c2 + f13 * c3)
        z2 = product[2, i] + (f20 * c0 + f21 * c1 + f22 * c2 + f23 * c3)
        z3 = product[3, i] + (f30 * c0 + f31 * c1 + f32 * c2 + f33 * c3)
        log_prob[i] -= half * ((z0 * z0 + z1 * z1) + (z2 * z2 + z3 * z3))


@block_function
def _subtract_half_squares(product, log_prob):
    half = log_prob.dtype.type(0.5)
    for i in range(log_prob.shape[0]):
        z0, z1, z2, z3 = product[0, i], product[1, i], product[2, i], product[3, i]
        log_prob[i] -= half * ((z0 * z0 + z1 * z1) + (z2 * z2 + z3 * z3))


@block_function
def log_prob_tiled(x, mean, tiles, log_norm, log_prob, scratch):
    """Set ``log_prob = log_norm - |factor @ (x - mean)|^2 / 2`` for a factor (D, D) in tiles."""
    n_features = padded(mean.shape[0])
    centred, product = scratch[:n_features], scratch[n_features : n_features + TILE]
    centre_block(x, mean, centred)
    for i in range(log_prob.shape[0]):
        log_prob[i] = log_norm
    subtract_squares(tiles, centred, product, log_prob)


@block_function
def subtract_squares(tiles, centred, product, log_prob):
    """Subtract ``|factor @ centred|^2 / 2`` for a factor (D, D) in tiles; `product` (4, rows) is free to use."""
    t = 0
    for a in range(0, centred.shape[0], TILE):
        _whiten_diagonal(tiles[t], centred, a, product)
        for b in range(0, a - TILE, TILE):
            t += 1
            whiten_more(tiles[t], centred, b, product)
        if a == 0:
            _subtract_half_squares(product, log_prob)
        else:
            t += 1
            _whiten_last(tiles[t], centred, a - TILE, product, log_prob)
        t += 1


@block_function
def whiten(tiles, centred, white):
    """Set ``white = factor @ centred`` for a factor (D, D) in tiles."""
    t = 0
    for a in range(0, centred.shape[0], TILE):
        product = white[a : a + TILE]
        _whiten_diagonal(tiles[t], centred, a, product)
        for b in range(0, a, TILE):
            t += 1
            whiten_more(tiles[t], centred, b, product)
        t += 1


@block_function
def accumulate_tiled(x, mean, resp, sx, scatter, scratch):
    """Add ``resp * (x - mean)`` to `sx` and the lower triangle of the outer products to `scatter` (D, D)."""
    n_features = padded(mean.shape[0])
    centred, weighted = scratch[:n_features], scratch[n_features : n_features + TILE]
    centre_block(x, mean, centred)
    add_moments(centred, weighted, resp, sx, scatter)


@block_function
def add_moments(centred, weighted, resp, sx, scatter):
    """Add ``resp * centred`` to `sx` and the lower triangle of the outer products to `scatter` (D, D).

    `weighted` (4, rows) is free to use.
    """
    for a in range(0, centred.shape[0], TILE):
        _add_triangle(centred, resp, a, weighted, sx, scatter)
        # Downwards: the lines next to the triangle are still in the fastest cache.
        for b in range(a - TILE, -1, -TILE):
            _add_tile(weighted, centred, a, b, scatter)


@block_function
def _add_triangle(centred, resp, a, weighted, sx, scatter):
    """Add the moments of features a to a + 3, and leave ``resp * centred`` of these in `weighted`."""
    zero = centred.dtype.type(0.0)
    s0, s1, s2, s3 = zero, zero, zero, zero
    s00, s10, s11, s20, s21, s22, s30, s31, s32, s33 = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
    for i in range(centred.shape[1]):
        c0, c1, c2, c3 = centred[a, i], centred[a + 1, i], centred[a + 2, i], centred[a + 3, i]
        w0, w1, w2, w3 = resp[i] * c0, resp[i] * c1, resp[i] * c2, resp[i] * c3
        weighted[0, i], weighted[1, i], weighted[2, i], weighted[3, i] = w0, w1, w2, w3
        s0 += w0
        s1 += w1
        s2 += w2
        s3 += w3
        s00 += w0 * c0
        s10 += w1 * c0
        s11 += w1 * c1
        s20 += w2 * c0
        s21 += w2 * c1
        s22 += w2 * c2
        s30 += w3 * c0
        s31 += w3 * c1
        s32 += w3 * c2
        s33 += w3 * c3
    sums = (s0, s1, s2, s3)
    rows = ((s00, zero, zero, zero), (s10, s11, zero, zero), (s20, s21, s22, zero), (s30, s31, s32, s33))
    for p in range(min(TILE, sx.shape[0] - a)):
        sx[a + p] += sums[p]
        for q in range(p + 1):
            scatter[a + p, a + q] += rows[p][q]


@block_function
def _add_tile(weighted, centred, a, b, scatter):
    zero = centred.dtype.type(0.0)
    s00, s01, s02, s03 = zero, zero, zero, zero
    s10, s11, s12, s13 = zero, zero, zero, zero
    s20, s21, s22, s23 = zero, zero, zero, zero
    s30, s31, s32, s33 = zero, zero, zero, zero
    for i in range(centred.shape[1]):
        w0, w1, w2, w3 = weighted[0, i], weighted[1, i], weighted[2, i], weighted[3, i]
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
    rows = ((s00, s01, s02, s03), (s10, s11, s12, s13), (s20, s21, s22, s23), (s30, s31, s32, s33))
    for p in range(min(TILE, scatter.shape[0] - a)):
        for q in range(TILE):
            scatter[a + p, b + q] += rows[p][q]
