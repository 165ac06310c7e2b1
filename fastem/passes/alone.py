"""One track that is gone through by itself: sequence by sequence, with scaled probabilities or in logarithms."""

from __future__ import annotations

from fastem.passes.blocks import backward_alone_block, forward_alone_block
from fastem.passes.flags import block_function


@block_function
def filter_alone(
    latent_params, n_steps, log_space, lines, begins, emission, filtered, message, work, shift, norm
):  # fmt: skip
    """Filter the rows of a block of one track."""
    for k in range(lines.shape[0]):
        for i in range(lines.shape[1]):
            emission[k, i] = lines[k, i]
    begin = 0
    while begin < n_steps:
        end = begin + 1
        while end < n_steps and begins[end] == 0.0:
            end += 1
        if not forward_alone_block(
            latent_params, emission, begin, end, begins[begin] > 0.0, log_space, message, work, filtered, shift, norm
        ):
            return False
        begin = end
    return True


@block_function
def smooth_alone(
    latent_params, n_steps, log_space, begins, ends, weight, emission, filtered, message, work, left, right, resp,
    latent_stats, lane,
):  # fmt: skip
    """Smooth the rows of a block of one track."""
    end = n_steps
    while end > 0:
        begin = end - 1
        while begin > 0 and begins[begin] == 0.0:
            begin -= 1
        backward_alone_block(
            latent_params, emission, begin, end, begins[begin] > 0.0, ends[end - 1] > 0.0, log_space, weight[begin],
            message, work, filtered, left, right, latent_stats, lane,
        )  # fmt: skip
        end = begin
    for k in range(filtered.shape[0]):
        for i in range(n_steps):
            resp[k, i] = filtered[k, i]
