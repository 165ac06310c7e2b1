"""Loops for full covariance matrices of at most eight features: everything stays in registers.

One and two features have loops of their own. More are taken four at a time: a matrix whose size is not a
multiple of four is filled up with zeros, and a missing feature is read from the last one that there
is, to be multiplied by zero.
"""

from __future__ import annotations

from fastem.passes.flags import block_function

MAX_SMALL = 8


@block_function
def log_prob_line(x, mean, tiles, log_norm, log_prob):
    """Set ``log_prob = log_norm - (factor * (x - mean))^2 / 2`` for one feature."""
    m0, f00 = mean[0], tiles[0, 0]
    for i in range(x.shape[1]):
        z0 = f00 * (x[0, i] - m0)
        log_prob[i] = log_norm - 0.5 * (z0 * z0)


@block_function
def accumulate_line(x, mean, resp, n, sx, sxx, k):
    """Add the moments of one feature to entry k of `n` (K,), `sx` (K, 1) and `sxx` (K, 1, 1)."""
    m0 = mean[0]
    s, s0, s00 = 0.0, 0.0, 0.0
    for i in range(x.shape[1]):
        c0 = x[0, i] - m0
        w0 = resp[i] * c0
        s += resp[i]
        s0 += w0
        s00 += w0 * c0
    n[k] += s
    sx[k, 0] += s0
    sxx[k, 0, 0] += s00


@block_function
def _triangle(tile):
    """The ten entries of the lower triangle of a tile."""
    return tile[0], tile[4], tile[5], tile[8], tile[9], tile[10], tile[12], tile[13], tile[14], tile[15]


@block_function
def log_prob_small(x, mean, tiles, log_norm, log_prob):
    """Set ``log_prob = log_norm - |factor @ (x - mean)|^2 / 2`` for a factor (D, D) in tiles, 2 <= D <= 8."""
    n_rows = x.shape[1]
    last = mean.shape[0] - 1
    if last == 1:
        m0, m1 = mean[0], mean[1]
        f00, f10, f11 = tiles[0, 0], tiles[0, 4], tiles[0, 5]
        for i in range(n_rows):
            c0 = x[0, i] - m0
            z0 = f00 * c0
            z1 = f10 * c0 + f11 * (x[1, i] - m1)
            log_prob[i] = log_norm - 0.5 * (z0 * z0 + z1 * z1)
        return
    j3 = min(3, last)
    m0, m1, m2, m3 = mean[0], mean[1], mean[2], mean[j3]
    f00, f10, f11, f20, f21, f22, f30, f31, f32, f33 = _triangle(tiles[0])
    if last < 4:
        for i in range(n_rows):
            c0, c1, c2, c3 = x[0, i] - m0, x[1, i] - m1, x[2, i] - m2, x[j3, i] - m3
            z0 = f00 * c0
            z1 = f10 * c0 + f11 * c1
            z2 = f20 * c0 + f21 * c1 + f22 * c2
            z3 = f30 * c0 + f31 * c1 + f32 * c2 + f33 * c3
            log_prob[i] = log_norm - 0.5 * ((z0 * z0 + z1 * z1) + (z2 * z2 + z3 * z3))
        return
    j5, j6, j7 = min(5, last), min(6, last), min(7, last)
    m4, m5, m6, m7 = mean[4], mean[j5], mean[j6], mean[j7]
    f44, f54, f55, f64, f65, f66, f74, f75, f76, f77 = _triangle(tiles[1])
    f40, f41, f42, f43 = tiles[2, 0], tiles[2, 1], tiles[2, 2], tiles[2, 3]
    f50, f51, f52, f53 = tiles[2, 4], tiles[2, 5], tiles[2, 6], tiles[2, 7]
    f60, f61, f62, f63 = tiles[2, 8], tiles[2, 9], tiles[2, 10], tiles[2, 11]
    f70, f71, f72, f73 = tiles[2, 12], tiles[2, 13], tiles[2, 14], tiles[2, 15]
    for i in range(n_rows):
        c0, c1, c2, c3 = x[0, i] - m0, x[1, i] - m1, x[2, i] - m2, x[3, i] - m3
        c4, c5, c6, c7 = x[4, i] - m4, x[j5, i] - m5, x[j6, i] - m6, x[j7, i] - m7
        z0 = f00 * c0
        z1 = f10 * c0 + f11 * c1
        z2 = f20 * c0 + f21 * c1 + f22 * c2
        z3 = f30 * c0 + f31 * c1 + f32 * c2 + f33 * c3
        z4 = (f40 * c0 + f41 * c1 + f42 * c2 + f43 * c3) + f44 * c4
        z5 = (f50 * c0 + f51 * c1 + f52 * c2 + f53 * c3) + (f54 * c4 + f55 * c5)
        z6 = (f60 * c0 + f61 * c1 + f62 * c2 + f63 * c3) + (f64 * c4 + f65 * c5 + f66 * c6)
        z7 = (f70 * c0 + f71 * c1 + f72 * c2 + f73 * c3) + (f74 * c4 + f75 * c5 + f76 * c6 + f77 * c7)
        low = (z0 * z0 + z1 * z1) + (z2 * z2 + z3 * z3)
        high = (z4 * z4 + z5 * z5) + (z6 * z6 + z7 * z7)
        log_prob[i] = log_norm - 0.5 * (low + high)


@block_function
def accumulate_small(x, mean, resp, sx, scatter):
    """Add ``resp * (x - mean)`` to `sx` and the lower triangle of their outer products to `scatter`, 2 <= D <= 8."""
    if mean.shape[0] == 2:
        _add_two(x, mean, resp, sx, scatter)
        return
    for a in range(0, mean.shape[0], 4):
        for b in range(0, a, 4):
            _add_square(x, mean, resp, a, b, scatter)
        _add_triangle(x, mean, resp, a, sx, scatter)


@block_function
def _add_two(x, mean, resp, sx, scatter):
    n_rows = x.shape[1]
    m0, m1 = mean[0], mean[1]
    s0, s1, s00, s10, s11 = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n_rows):
        c0, c1 = x[0, i] - m0, x[1, i] - m1
        w0, w1 = resp[i] * c0, resp[i] * c1
        s0 += w0
        s1 += w1
        s00 += w0 * c0
        s10 += w1 * c0
        s11 += w1 * c1
    sx[0] += s0
    sx[1] += s1
    scatter[0, 0] += s00
    scatter[1, 0] += s10
    scatter[1, 1] += s11


@block_function
def _add_triangle(x, mean, resp, a, sx, scatter):
    n_rows = x.shape[1]
    last = mean.shape[0] - 1
    j1, j2, j3 = min(a + 1, last), min(a + 2, last), min(a + 3, last)
    m0, m1, m2, m3 = mean[a], mean[j1], mean[j2], mean[j3]
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    s00, s10, s11, s20, s21, s22, s30, s31, s32, s33 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n_rows):
        c0, c1, c2, c3 = x[a, i] - m0, x[j1, i] - m1, x[j2, i] - m2, x[j3, i] - m3
        w0, w1, w2, w3 = resp[i] * c0, resp[i] * c1, resp[i] * c2, resp[i] * c3
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
    rows = ((s00, 0.0, 0.0, 0.0), (s10, s11, 0.0, 0.0), (s20, s21, s22, 0.0), (s30, s31, s32, s33))
    for p in range(min(4, last + 1 - a)):
        sx[a + p] += sums[p]
        for q in range(p + 1):
            scatter[a + p, a + q] += rows[p][q]


@block_function
def _add_square(x, mean, resp, a, b, scatter):
    n_rows = x.shape[1]
    last = mean.shape[0] - 1
    j1, j2, j3 = min(a + 1, last), min(a + 2, last), min(a + 3, last)
    m0, m1, m2, m3 = mean[a], mean[j1], mean[j2], mean[j3]
    n0, n1, n2, n3 = mean[b], mean[b + 1], mean[b + 2], mean[b + 3]
    s00, s01, s02, s03 = 0.0, 0.0, 0.0, 0.0
    s10, s11, s12, s13 = 0.0, 0.0, 0.0, 0.0
    s20, s21, s22, s23 = 0.0, 0.0, 0.0, 0.0
    s30, s31, s32, s33 = 0.0, 0.0, 0.0, 0.0
    for i in range(n_rows):
        r = resp[i]
        w0, w1, w2, w3 = r * (x[a, i] - m0), r * (x[j1, i] - m1), r * (x[j2, i] - m2), r * (x[j3, i] - m3)
        c0, c1, c2, c3 = x[b, i] - n0, x[b + 1, i] - n1, x[b + 2, i] - n2, x[b + 3, i] - n3
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
    for p in range(min(4, last + 1 - a)):
        for q in range(4):
            scatter[a + p, b + q] += rows[p][q]
