"""The scaled forward-backward recursions of eight sequences side by side.

A vector of states of all tracks is flat: entry ``8 * k + s`` belongs to state k and to the row of track s. Numbers of
states are filled up to a multiple of eight by states that nothing leads to, and whose density is zero. So the loops
have eight turns, and their bodies are long, or else LLVM unrolls them and leaves vectors out.
"""

from __future__ import annotations

from fastem.passes.flags import block_function, disjoint_function
from fastem.passes.units import BLOCK, TRACKS

# Of a row that is possible; see `_chain_blocks`.
LEAST_OF_ROW = 1e-110
LEAST = 1e-180


@block_function
def fill_up(values, out):
    """Copy a matrix, and fill it up with zeros."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = values[i, j] if i < values.shape[0] and j < values.shape[1] else 0.0


@disjoint_function
def _times_matrix(vectors, t, matrix, out):
    """Set ``out = vector @ matrix`` of each track, for the vector number t of several."""
    n, size = matrix.shape[0], out.shape[0]
    vector = vectors[t * size : (t + 1) * size]
    for j in range(0, n, 4):
        o = out[j * TRACKS : (j + 4) * TRACKS]
        for q in range(4 * TRACKS):
            o[q] = 0.0
        for i in range(0, n, 4):
            v = vector[i * TRACKS : (i + 4) * TRACKS]
            a, b, c, d = matrix[i], matrix[i + 1], matrix[i + 2], matrix[i + 3]
            a0, a1, a2, a3 = a[j], a[j + 1], a[j + 2], a[j + 3]
            b0, b1, b2, b3 = b[j], b[j + 1], b[j + 2], b[j + 3]
            c0, c1, c2, c3 = c[j], c[j + 1], c[j + 2], c[j + 3]
            d0, d1, d2, d3 = d[j], d[j + 1], d[j + 2], d[j + 3]
            for s in range(TRACKS):
                p, q, r, u = v[s], v[s + 8], v[s + 16], v[s + 24]
                o[s] += (p * a0 + q * b0) + (r * c0 + u * d0)
                o[s + 8] += (p * a1 + q * b1) + (r * c1 + u * d1)
                o[s + 16] += (p * a2 + q * b2) + (r * c2 + u * d2)
                o[s + 24] += (p * a3 + q * b3) + (r * c3 + u * d3)


@disjoint_function
def _join(message, emission, begins, start, t, filtered, norms):
    """Set `filtered` to messages times densities, and `norms` to its sums over states, both of step t.

    The message is to be divided by the norm of the step before, which has the eight entries before those of step t.
    Where a sequence begins, the probabilities of the first state are the message.
    """
    size, c = message.shape[0], t * TRACKS
    is_begin, norm, joint = begins[c : c + TRACKS], norms[c : c + 2 * TRACKS], filtered[t * size : (t + 1) * size]
    for s in range(TRACKS):
        norm[TRACKS + s] = 0.0
    for k in range(0, start.shape[0], 8):
        m, o = message[k * TRACKS : (k + 8) * TRACKS], joint[k * TRACKS : (k + 8) * TRACKS]
        p0, p1, p2, p3 = start[k], start[k + 1], start[k + 2], start[k + 3]
        p4, p5, p6, p7 = start[k + 4], start[k + 5], start[k + 6], start[k + 7]
        e0, e1, e2, e3 = emission[k, c:], emission[k + 1, c:], emission[k + 2, c:], emission[k + 3, c:]
        e4, e5, e6, e7 = emission[k + 4, c:], emission[k + 5, c:], emission[k + 6, c:], emission[k + 7, c:]
        for s in range(TRACKS):
            f, is_first = 1.0 / norm[s], is_begin[s] > 0.0
            v0 = (p0 if is_first else m[s] * f) * e0[s]
            v1 = (p1 if is_first else m[s + 8] * f) * e1[s]
            v2 = (p2 if is_first else m[s + 16] * f) * e2[s]
            v3 = (p3 if is_first else m[s + 24] * f) * e3[s]
            v4 = (p4 if is_first else m[s + 32] * f) * e4[s]
            v5 = (p5 if is_first else m[s + 40] * f) * e5[s]
            v6 = (p6 if is_first else m[s + 48] * f) * e6[s]
            v7 = (p7 if is_first else m[s + 56] * f) * e7[s]
            o[s], o[s + 8], o[s + 16], o[s + 24] = v0, v1, v2, v3
            o[s + 32], o[s + 40], o[s + 48], o[s + 56] = v4, v5, v6, v7
            norm[s + 8] += ((v0 + v1) + (v2 + v3)) + ((v4 + v5) + (v6 + v7))


@block_function
def _leads_to(joint, matrix, k):
    """Whether some state of a track, the one that comes first, leads to state k; where none does, zero is no loss."""
    leads = False
    for j in range(matrix.shape[0]):
        leads = leads or (joint[TRACKS * j] > 0.0 and matrix[j, k] > 0.0)
    return leads


@block_function
def _mark_lost_before(message, emission, begins, start, t, filtered, lost):
    """Mark the tracks in which float64 lost a state that has some density, at step t."""
    joint = filtered[t * message.shape[0] :]
    for k in range(start.shape[0]):
        for s in range(TRACKS):
            i, c = TRACKS * k + s, TRACKS * t + s
            before = start[k] if begins[c] > 0.0 else message[i]
            if joint[i] == 0.0 and before > 0.0 and emission[k, c] > 0.0:
                lost[s] = True


@block_function
def _mark_lost_after(message, t, norms, filtered, matrix, lost):
    """Mark the tracks in which a state fell too low that may be the right one in the light of later rows."""
    joint, norm = filtered[t * message.shape[0] :], norms[(t + 1) * TRACKS :]
    for k in range(matrix.shape[0]):
        for s in range(TRACKS):
            if message[TRACKS * k + s] < LEAST * norm[s] and _leads_to(joint[s:], matrix, k):
                lost[s] = True


@block_function
def filter_tracks(matrix, start, guarded, emission, begins, message, filtered, norm, lost):
    """Filter rows of all tracks by scaled probabilities; mark those that leave the range of float64 as lost."""
    n_steps = norm.shape[0] // TRACKS - 1
    for t in range(n_steps):
        _join(message, emission, begins, start, t, filtered, norm)
        if guarded:
            _mark_lost_before(message, emission, begins, start, t, filtered, lost)
        _times_matrix(filtered, t, matrix, message)
        if guarded:
            _mark_lost_after(message, t, norm, filtered, matrix, lost)
    for t in range(1, n_steps + 1):
        for s in range(TRACKS):
            if not norm[TRACKS * t + s] > LEAST_OF_ROW:
                lost[s] = True


@disjoint_function
def _smooth(filtered, later, ends, t, joint, total):
    """Set `joint` to `filtered` times `later`, which is one where a sequence ends, and `total` to its sums over states.

    `filtered` and `ends` are those of step t.
    """
    size = later.shape[0]
    is_end, before = ends[t * TRACKS : (t + 1) * TRACKS], filtered[t * size : (t + 1) * size]
    for s in range(TRACKS):
        total[s] = 0.0
    for i in range(0, size, 8 * TRACKS):
        f, w, o = before[i : i + 8 * TRACKS], later[i : i + 8 * TRACKS], joint[i : i + 8 * TRACKS]
        for s in range(TRACKS):
            at_end = is_end[s] > 0.0
            w0, w1 = 1.0 if at_end else w[s], 1.0 if at_end else w[s + 8]
            w2, w3 = 1.0 if at_end else w[s + 16], 1.0 if at_end else w[s + 24]
            w4, w5 = 1.0 if at_end else w[s + 32], 1.0 if at_end else w[s + 40]
            w6, w7 = 1.0 if at_end else w[s + 48], 1.0 if at_end else w[s + 56]
            w[s], w[s + 8], w[s + 16], w[s + 24] = w0, w1, w2, w3
            w[s + 32], w[s + 40], w[s + 48], w[s + 56] = w4, w5, w6, w7
            v0, v1, v2, v3 = f[s] * w0, f[s + 8] * w1, f[s + 16] * w2, f[s + 24] * w3
            v4, v5, v6, v7 = f[s + 32] * w4, f[s + 40] * w5, f[s + 48] * w6, f[s + 56] * w7
            o[s], o[s + 8], o[s + 16], o[s + 24] = v0, v1, v2, v3
            o[s + 32], o[s + 40], o[s + 48], o[s + 56] = v4, v5, v6, v7
            total[s] += ((v0 + v1) + (v2 + v3)) + ((v4 + v5) + (v6 + v7))


@disjoint_function
def _step_back(filtered, later, joint, total, emission, ends, weight, t, message, left, right, resp, first, begin):
    """Scale what `_smooth` has made of step t, and go one step back.

    Columns of `left` and `right` begin with step `begin`, those of `resp` with step `first`; these are flat, since LLVM
    must know how far their lines lie apart. A state that cannot be, given the rows before, hands nothing on: later rows
    may favour it without bound.
    """
    size, now, c, d = later.shape[0], t * TRACKS, (t - begin) * TRACKS, (t - first) * TRACKS
    is_end, weights, before = ends[now : now + TRACKS], weight[now : now + TRACKS], filtered[t * size : (t + 1) * size]
    for k in range(0, size // TRACKS, 4):
        f, w = before[k * TRACKS : (k + 4) * TRACKS], later[k * TRACKS : (k + 4) * TRACKS]
        m, o = message[k * TRACKS : (k + 4) * TRACKS], joint[k * TRACKS : (k + 4) * TRACKS]
        e0, e1 = emission[k, now : now + TRACKS], emission[k + 1, now : now + TRACKS]
        e2, e3 = emission[k + 2, now : now + TRACKS], emission[k + 3, now : now + TRACKS]
        a, b, r = left[k * BLOCK + c :], right[k * BLOCK + c :], resp[k * BLOCK + d :]
        for s in range(TRACKS):
            scale, at_end = 1.0 / total[s], is_end[s] > 0.0
            share = scale * weights[s]
            f0, f1, f2, f3 = f[s], f[s + 8], f[s + 16], f[s + 24]
            a[s], a[s + BLOCK], a[s + 2 * BLOCK], a[s + 3 * BLOCK] = f0 * share, f1 * share, f2 * share, f3 * share
            r[s], r[s + BLOCK] = o[s] * share, o[s + 8] * share
            r[s + 2 * BLOCK], r[s + 3 * BLOCK] = o[s + 16] * share, o[s + 24] * share
            b[s], b[s + BLOCK] = 0.0 if at_end else m[s], 0.0 if at_end else m[s + 8]
            b[s + 2 * BLOCK], b[s + 3 * BLOCK] = 0.0 if at_end else m[s + 16], 0.0 if at_end else m[s + 24]
            m[s] = w[s] * scale * e0[s] if f0 > 0.0 else 0.0
            m[s + 8] = w[s + 8] * scale * e1[s] if f1 > 0.0 else 0.0
            m[s + 16] = w[s + 16] * scale * e2[s] if f2 > 0.0 else 0.0
            m[s + 24] = w[s + 24] * scale * e3[s] if f3 > 0.0 else 0.0


@block_function
def smooth_tracks(
    transposed, emission, begins, ends, weight, begin, end, message, vectors, filtered, left, right, resp, first,
    start_counts,
):  # fmt: skip
    """Smooth the steps `end - 1` down to `begin`, and add up what sequences begin with.

    The expected number of transitions from j to k is ``transitions[j, k] * sum_i left[j, i] * right[k, i]``.
    """
    later, joint, total = vectors[0], vectors[1], vectors[2, :TRACKS]
    lefts, rights, smoothed = left.reshape(left.size), right.reshape(right.size), resp.reshape(resp.size)
    for t in range(end - 1, begin - 1, -1):
        _times_matrix(message, begin - begin, transposed, later)
        _smooth(filtered, later, ends, t, joint, total)
        _step_back(
            filtered, later, joint, total, emission, ends, weight, t, message, lefts, rights, smoothed, first, begin
        )
    for t in range(begin, end):
        for s in range(TRACKS):
            if begins[TRACKS * t + s] > 0.0:
                for k in range(start_counts.shape[0]):
                    start_counts[k] += resp[k, (t - first) * TRACKS + s]
