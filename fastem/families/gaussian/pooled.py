"""Moments of rows about several means whose scatter is summed over components: one scatter a row, not one a component.

For responsibilities r_k of a row x, with w their sum and m = sum_k r_k mean_k / w,

    sum_k r_k (x - mean_k)(x - mean_k)' = w (x - m)(x - m)' + sum_{k<l} r_k r_l / w (mean_k - mean_l)(mean_k - mean_l)'

Both terms are sums of squares: nothing cancels. With the lines s_k = r_k / sqrt(w) and v = sqrt(w) (x - m) of a block,
all that is needed are products of pairs of lines: v v' is the scatter about m, s_k s_l weighs a pair of means, and
s_k v' are sums about m, which the pairs move to the means.
"""

from __future__ import annotations

import numpy as np

from fastem.families.gaussian.tiles import TILE, padded, sum_block, whiten_more
from fastem.passes.flags import block_function


@block_function
def accumulate_pooled(means, components, x, resp, scratch, n, sx, scatter):
    """Add the moments about all means: to `n` (K,), to `sx` (K, D), and to the lower triangle of `scatter` (D, D).

    `resp` is changed. Takes ``padded(D) + 2`` lines of scratch.
    """
    n_features, n_padded = means.shape[1], padded(means.shape[1])
    centred, root, inverse = scratch[:n_padded], scratch[n_padded], scratch[n_padded + 1]
    for a in range(components.shape[0]):
        n[components[a]] += sum_block(resp[a])
    _scale_resp(resp, root, inverse)
    _centre_rows(means, components, x, resp, root, inverse[: TILE * TILE], centred)
    _add_scatter(centred, n_features, scatter)
    for a in range(0, components.shape[0], TILE):
        for b in range(0, n_features, TILE):
            sums = _products(resp, a, centred, b)
            for p in range(min(TILE, components.shape[0] - a)):
                for q in range(min(TILE, n_features - b)):
                    sx[components[a + p], b + q] += sums[p][q]
    # Now `centred` is free for the differences of means.
    n_pairs = 0
    for a in range(0, components.shape[0], TILE):
        for b in range(0, a + 1, TILE):
            sums = _products(resp, a, resp, b)
            for p in range(min(TILE, components.shape[0] - a)):
                for q in range(min(TILE, a + p - b)):
                    if sums[p][q] > 0.0:
                        _add_pair(means, components[a + p], components[b + q], sums[p][q], sx, centred, n_pairs)
                        n_pairs += 1
                        if n_pairs == centred.shape[1]:
                            _add_scatter(centred, n_features, scatter)
                            n_pairs = 0
    _add_scatter(centred[:, :n_pairs], n_features, scatter)


@block_function
def _add_scatter(lines, n_features, scatter):
    """Add the products of all pairs of lines, each a feature, to the lower triangle of `scatter`."""
    for a in range(0, n_features, TILE):
        for b in range(0, a + 1, TILE):
            sums = _products(lines, a, lines, b)
            for p in range(min(TILE, n_features - a)):
                for q in range(min(TILE, n_features - b)):
                    scatter[a + p, b + q] += sums[p][q]


@block_function
def _scale_resp(resp, root, inverse):
    """Divide the responsibilities of a row by the root of their sum, which `root` keeps."""
    n_rows = root.shape[0]
    for i in range(n_rows):
        root[i] = 0.0
    for a in range(resp.shape[0]):
        for i in range(n_rows):
            root[i] += resp[a, i]
    for i in range(n_rows):
        root[i] = np.sqrt(root[i])
        inverse[i] = 1.0 / root[i] if root[i] > 0.0 else 0.0
    for a in range(resp.shape[0]):
        for i in range(n_rows):
            resp[a, i] *= inverse[i]


@block_function
def _centre_rows(means, components, x, scaled, root, tile, centred):
    """Set ``centred = sqrt(w) (x - m)``, by way of one of the means; lines beyond the features become zero."""
    n_features = means.shape[1]
    origin = means[components[0]]
    for j in range(n_features):
        for i in range(x.shape[1]):
            centred[j, i] = (x[j, i] - origin[j]) * root[i]
    for j in range(n_features, centred.shape[0]):
        for i in range(x.shape[1]):
            centred[j, i] = 0.0
    n_whole = components.shape[0] - components.shape[0] % TILE
    for b in range(0, n_features, TILE):
        four = centred[b : b + TILE]
        for a in range(0, n_whole, TILE):
            _set_tile(means, components, origin, a, b, tile)
            whiten_more(tile, scaled, a, four)
        for a in range(n_whole, components.shape[0]):
            _subtract_one(means[components[a]], origin, scaled[a], b, four)


@block_function
def _set_tile(means, components, origin, a, b, tile):
    """Set the tile to features b to b + 3 of the origin, less those of means a to a + 3 of the list."""
    for q in range(TILE):
        for p in range(TILE):
            is_feature = b + q < means.shape[1]
            tile[TILE * q + p] = origin[b + q] - means[components[a + p], b + q] if is_feature else 0.0


@block_function
def _subtract_one(mean, origin, scaled, b, centred):
    """Take features b to b + 3 of one mean, times its line, from the lines of `centred`."""
    for q in range(min(TILE, mean.shape[0] - b)):
        offset = mean[b + q] - origin[b + q]
        for i in range(centred.shape[1]):
            centred[q, i] -= offset * scaled[i]


@block_function
def _products(left, a, right, b):
    """Products, summed over the rows, of four lines with four lines; any beyond the last repeats it."""
    # `tiles._add_tile` has the same sums of lines that are always whole: through here it takes 1.04 of the time.
    a_last, b_last = left.shape[0] - 1, right.shape[0] - 1
    a1, a2, a3 = min(a + 1, a_last), min(a + 2, a_last), min(a + 3, a_last)
    b1, b2, b3 = min(b + 1, b_last), min(b + 2, b_last), min(b + 3, b_last)
    s00, s01, s02, s03 = 0.0, 0.0, 0.0, 0.0
    s10, s11, s12, s13 = 0.0, 0.0, 0.0, 0.0
    s20, s21, s22, s23 = 0.0, 0.0, 0.0, 0.0
    s30, s31, s32, s33 = 0.0, 0.0, 0.0, 0.0
    for i in range(left.shape[1]):
        w0, w1, w2, w3 = left[a, i], left[a1, i], left[a2, i], left[a3, i]
        c0, c1, c2, c3 = right[b, i], right[b1, i], right[b2, i], right[b3, i]
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
    return (s00, s01, s02, s03), (s10, s11, s12, s13), (s20, s21, s22, s23), (s30, s31, s32, s33)


@block_function
def _add_pair(means, k, other, weight, sx, differences, column):
    """Move what a pair of components share to the sums about either mean, and set a column of `differences`."""
    root = np.sqrt(weight)
    for j in range(means.shape[1]):
        difference = means[other, j] - means[k, j]
        sx[k, j] += weight * difference
        sx[other, j] -= weight * difference
        differences[j, column] = root * difference
