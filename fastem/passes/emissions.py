"""Rows of a chain whose states are not the components of its family.

The parameters of a chain say by three fields from which components each state draws its rows: a list of *entries*,
each a state, a component and the weight that the component has in the state. Empty fields stand for as many states as
components, each state with the component of its own number; nothing is computed then.
"""

from __future__ import annotations

import numpy as np

from fastem.passes.flags import block_function
from fastem.passes.vector_math import exp_nonpositive, log_positive

# Far below any logarithm of which exp is not zero.
_LOG_ZERO = -1e300


@block_function
def mixes(latent_params):
    """Whether states draw from components by a list of entries."""
    return latent_params.first_entry.shape[0] > 0


@block_function
def components_of(latent_params):
    """Number of components of the family of a chain."""
    return latent_params.first_entry.shape[0] - 1 if mixes(latent_params) else latent_params[0].shape[0]


@block_function
def mix_densities(latent_params, density, norm, emission, share):
    """Set the log-densities of rows in states (S, rows) from those under components (K, rows).

    A row is drawn from a component of its state: ``emission[s] = log(sum of weight * exp(density))`` over the entries
    of state s. Each entry's part of that sum goes to `share` (E, rows). `norm` (S, rows) is free to use.
    """
    first, n_rows = latent_params.first_entry, emission.shape[1]
    for s in range(emission.shape[0]):
        for i in range(n_rows):
            emission[s, i] = -np.inf
            norm[s, i] = 0.0
    for k in range(density.shape[0]):
        for e in range(first[k], first[k + 1]):
            s, log_weight = latent_params.entry_state[e], latent_params.log_weights[e]
            for i in range(n_rows):
                joint = density[k, i] + log_weight
                share[e, i] = joint
                emission[s, i] = joint if joint > emission[s, i] else emission[s, i]
    for e in range(share.shape[0]):
        s = latent_params.entry_state[e]
        for i in range(n_rows):
            highest = emission[s, i]
            part = exp_nonpositive(share[e, i] - highest if highest > -np.inf else _LOG_ZERO)
            share[e, i] = part
            norm[s, i] += part
    for s in range(emission.shape[0]):
        for i in range(n_rows):
            # A row of zero density under all components of a state is shared between none of them.
            is_possible = norm[s, i] > 0.0
            emission[s, i] += log_positive(norm[s, i]) if is_possible else 0.0
            norm[s, i] = 1.0 / norm[s, i] if is_possible else 0.0
    for e in range(share.shape[0]):
        s = latent_params.entry_state[e]
        for i in range(n_rows):
            share[e, i] *= norm[s, i]


@block_function
def share_out(latent_params, resp_of_states, share, resp, entries):
    """Divide the probabilities of states (S, rows) between components (K, rows), and add up those of entries (E,)."""
    first, n_rows = latent_params.first_entry, resp.shape[1]
    for k in range(resp.shape[0]):
        for i in range(n_rows):
            resp[k, i] = 0.0
        for e in range(first[k], first[k + 1]):
            s = latent_params.entry_state[e]
            total = 0.0
            for i in range(n_rows):
                part = resp_of_states[s, i] * share[e, i]
                resp[k, i] += part
                total += part
            entries[e] += total
