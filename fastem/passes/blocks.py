"""The block operations, and how a family or a latent registers for them.

A block is a few hundred rows, laid out features x rows in float64, so that the innermost loop of every
operation runs over rows and vectorises. The parallel passes call the functions of this module;
numba resolves each call, at compile time, on the class of the parameter record.

===================  =======  ==================================================================
operation            owner    meaning
===================  =======  ==================================================================
`log_prob_block`     family   log-density of each row under each component
`posterior_block`    latent   log-densities become responsibilities; adds the latent's counts
`accumulate_block`   family   adds the family's expected statistics
`forward_block`      chain    filters: probabilities of the states, given the rows so far
`backward_block`     chain    smooths: given all rows; adds the chain's counts
`forward_alone_block`  chain  filters one track by itself
`backward_alone_block` chain  smooths it
`propagate_block`    chain    what some rows tell of a message, from one state
`path_block`         chain    the most probable path into each state
===================  =======  ==================================================================

Arguments that several of them have::

    family_params, latent_params   NamedTuple of arrays
    components                     (A,) int64: line a of a block of log-densities or of responsibilities
                                   belongs to component components[a]
    x                              (n_features, rows) float64
    scratch                        (scratch_lines(n_features), rows) float64, free to use
    family_stats, latent_stats     Additive, with a leading axis of lanes
    lane                           int, the one to add to
    begin, end                     int: rows `begin` to `end - 1`, which belong to one sequence
    is_first, is_last              bool, whether these begin, or end, their sequence
    emission                       (K, rows) float64, density of each row in each state, in any scale of the row's
                                   own; logarithms of it when `log_space`
    work                           (K,) float64, free to use

Every block has the same number of rows, a multiple of eight: the last one of a chunk is filled up with rows of weight
zero. A pass that knows some components to be out of reach of every row of a block leaves them out of `components`
(see `fastem.passes.pruning`).

Parameters may be of a class that computes in float32. Then `x`, `scratch` (of twice as many lines), log-densities and
responsibilities are float32 in the pass over rows. Log-densities lack `offset` (1,), a field of the parameters: small
numbers have small rounding errors.

A *chain* is a latent whose rows hang together in sequences: it has the last six operations in place of
`posterior_block`. Two neighbouring stretches of a sequence know of each other by a *message*, one
number for each state. The logarithm of zero is -1e300 there, so that it can be added and subtracted.

The states of a chain draw their rows from components of the family. Four fields of its parameters, `first_entry`,
`entry_state`, `weights` and `log_weights`, say from which; they are empty where each state has the component of its own
number (see `fastem.passes.emissions`). Its statistics have a field `entries` for the rows of each of these pairs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from numba.extending import overload

from fastem.passes.cache import file_digest
from fastem.passes.flags import BLOCK_OPTIONS

# Each operation, and whether it is one of a family, a latent or a chain.
_operations: dict[str, tuple[Callable[..., Any], str]] = {}
_implementations: dict[tuple[str, type], Callable[..., Any]] = {}
_in_float32: set[type] = set()
# Digests of their files; None where there is none to read.
_digests: dict[tuple[str, type], str | None] = {}


class NotRegisteredError(TypeError):
    """A parameter record has no block operations."""


def scratch_lines(n_features: int) -> int:
    """Lines of float64 numbers, one for each row of a block, that a pass lends to each block operation."""
    return 2 * n_features + 8


def _operation(owner: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make an operation of its description: what is registered for the class of its first argument, a record."""

    def declared(description: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(description)
        def operation(*arguments: Any) -> Any:
            return implementation(operation, type(arguments[0]))(*arguments)

        # Not strict: an implementation has names for its arguments, which `_register` compares.
        @overload(operation, jit_options=BLOCK_OPTIONS, strict=False)
        def _compiled(*arguments: Any) -> Callable[..., Any]:
            return implementation(operation, arguments[0].instance_class)

        _operations[description.__name__] = operation, owner
        return operation

    return declared


@_operation("family")
def log_prob_block(family_params, components, x, log_prob, scratch):
    """Set ``log_prob[a, i] = log p(x[:, i] | component components[a])`` for each row i of the block, in nats.

    Parameters
    ----------
    log_prob : (A, rows) float64 array, overwritten
    """


@_operation("latent")
def posterior_block(latent_params, components, log_prob, weight, shift, norm, scratch, latent_stats, lane):
    """Turn log-densities into responsibilities, in place, and add the latent's counts.

    Parameters
    ----------
    log_prob : (A, rows) float64 array
        Log-densities on entry, ``weight[i] * p(component components[a] | row i)`` on return.
    weight : (rows,) float64 array
    shift, norm : (rows,) float64 arrays, overwritten
        The log-likelihood of row i is ``shift[i] + log(norm[i])``, in nats, with `norm` from 1 to 1e30.
        `shift` is minus infinity for a row of zero density under every component, whose
        responsibilities are all zero. In two parts, because a sum of logarithms is the logarithm of a
        product, which is cheaper.
    """


@_operation("family")
def accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
    """Add the expected statistics of the block to one lane of `family_stats`.

    Parameters
    ----------
    resp : (A, rows) float64 array
        Responsibilities times weights; zero in the rows that fill up the block. Free to change.
    """


@_operation("chain")
def forward_block(latent_params, emission, begins, message, filtered, norm, lost, matrix, start):
    """Filter the rows of eight tracks side by side.

    A vector of states has ``8 * F`` numbers, for F states, a multiple of eight: the one of state k in track s stands
    at ``8 * k + s``. Those beyond the K states have a density of zero.

    Parameters
    ----------
    emission : (F, 8 * steps) float64 array
        The row of track s at step t stands in column ``8 * t + s``.
    begins : (steps * 8,) float64 array
        One where a sequence begins with the row of a track, or else zero.
    message : (8 * F,) float64 array, changed in place
        Divided by the first entries of `norm`, the probability of each state at the first step, given the rows before
        it; on return, divided by the last ones, at the step behind the last one.
    filtered : (steps * 8 * F,) float64 array, overwritten
        A vector of states for each step: divided by `norm`, the probability of each state given the rows so far.
    norm : ((1 + steps) * 8,) float64 array, overwritten but for the first eight entries
        From the ninth entry on: the log-likelihood of a row, given those before it, is the logarithm, in the scale of
        `emission`.
    lost : (8,) bool array
        Becomes true for a track whose probabilities left the range of float64; all of it must be done again by
        `forward_alone_block`, and what is written of it means nothing.
    matrix, start : (F, F) and (F,) float64 arrays, free to use
    """


@_operation("chain")
def backward_block(
    latent_params, emission, begins, ends, weight, begin, end, message, vectors, filtered, left, right, resp, first,
    matrix, latent_stats, lane,
):  # fmt: skip
    """Smooth the steps `end - 1` down to `begin` after `forward_block`, and add the counts of the chain.

    Parameters
    ----------
    ends, weight : (steps * 8,) float64 arrays
        One where a sequence ends with the row of a track, or else zero; and the weight of the sequence.
    begin, end : int
        There are at most as many steps as a block has for eight tracks.
    message : (8 * F,) float64 array, changed in place
        Density of the rows from step `end` on, given the state there, in any scale; of those from `begin` on on
        return.
    vectors : (3, 8 * F) float64 array, free to use
    filtered : (steps * 8 * F,) float64 array
        A vector of states for each step.
    resp : (F, rows) float64 array
        The columns of these steps become ``weight * p(state k | all rows of the sequence)``; step `first` has the first
        eight of them.
    left, right : (F, rows) float64 arrays, free to use
    """


@_operation("chain")
def forward_alone_block(
    latent_params, emission, begin, end, is_first, log_space, message, work, filtered, shift, norm
):  # fmt: skip
    """Filter rows; False when probabilities left the range of float64, and all must be done again with `log_space`.

    Where a row has zero density after those before it, it is taken for one that tells nothing: its column of
    `emission` becomes zero, and its `shift` minus infinity. That is found out in logarithms.

    Parameters
    ----------
    message : (K,) float64 array, changed in place
        Probability of each state at row `begin`, given the rows before it, unless `is_first`; at row `end` on
        return. Logarithms when `log_space`.
    filtered : (K, rows) float64 array, overwritten in these rows
        ``filtered[k, i] / norm[i]`` is the probability of state k given the rows up to i; logarithms of it, and
        `norm` one, when `log_space`.
    shift, norm : (rows,) float64 arrays
        The log-likelihood of row i, given those before it, becomes ``shift[i] + log(norm[i])``; on entry
        `shift` has the logarithm of the scale of `emission`.
    """


@_operation("chain")
def backward_alone_block(
    latent_params, emission, begin, end, is_first, is_last, log_space, weight, message, work, filtered, left, right,
    latent_stats, lane,
):  # fmt: skip
    """Smooth rows `end - 1` down to `begin` after `forward_alone_block`, and add the counts of the chain.

    Parameters
    ----------
    weight : float
        Of the sequence.
    message : (K,) float64 array, changed in place
        Density of the rows from `end` on, given the state at row `end`, in any scale, unless `is_last`; of those
        from `begin` on on return. Logarithms when `log_space`.
    filtered : (K, rows) float64 array
        Of `forward_alone_block` on entry, in any scale; ``weight * p(state k | all rows of the sequence)`` on return.
    left, right : (K or more, rows) float64 arrays, free to use
    """


@_operation("chain")
def propagate_block(latent_params, emission, begin, end, backwards, is_edge, state, message, work):
    """Carry a message through rows, not `log_space`; False when they do not tell it.

    They do not where probabilities left the range of float64, or a row may be impossible, given those before it.

    Parameters
    ----------
    backwards : bool
        Down to row `begin`: the message of `backward_block`. Up to row `end` otherwise: that of `forward_block`.
    is_edge : bool
        Whether the rows come to the edge of the sequence where the message sets out.
    state : int
        Of the row beyond that edge of the rows, unless `is_edge`.
    message : (K,) float64 array, overwritten
        In any scale.
    """


@_operation("chain")
def path_block(latent_params, log_prob, begin, end, is_first, message, work, back):
    """Take the most probable paths through rows; whether all rows are possible.

    One that is impossible on every path is taken for one that tells nothing.

    Parameters
    ----------
    log_prob : (K, rows) float64 array
    message : (K,) float64 array, changed in place
        Log-density of the most probable path to each state at row ``begin - 1``, unless `is_first`; at row
        ``end - 1`` on return.
    back : (rows, K) int32 array, overwritten in these rows
        The state at the row before, on that path; not defined for the first row of a sequence.
    """


def register_family(
    params_class: type,
    *,
    log_prob_block: Callable[..., None],
    accumulate_block: Callable[..., None],
    float32: bool = False,
) -> None:
    """Let a pass run a family whose parameters are records of `params_class`.

    Parameters
    ----------
    params_class : type
        A NamedTuple class.
    log_prob_block, accumulate_block : callable
        Plain functions that numba can compile, with the arguments of the operations of this module.
    float32 : bool
        Whether they compute in float32. Such records have a field `offset`.

    Raises
    ------
    TypeError
        When the class is not a NamedTuple, or the arguments of a function are not those of the operation.
    """
    _register("log_prob_block", params_class, log_prob_block)
    _register("accumulate_block", params_class, accumulate_block)
    if float32:
        _in_float32.add(params_class)


def register_latent(params_class: type, *, posterior_block: Callable[..., None]) -> None:
    """Let a pass run a hidden structure whose parameters are records of `params_class`."""
    _register("posterior_block", params_class, posterior_block)


def register_chain(
    params_class: type,
    *,
    forward_block: Callable[..., None],
    backward_block: Callable[..., None],
    forward_alone_block: Callable[..., bool],
    backward_alone_block: Callable[..., None],
    propagate_block: Callable[..., bool],
    path_block: Callable[..., bool],
) -> None:
    """Let a pass over sequences run a chain whose parameters are records of `params_class`.

    These have a field for each state first, and the four fields that map states to components.
    """
    _register("forward_block", params_class, forward_block)
    _register("backward_block", params_class, backward_block)
    _register("forward_alone_block", params_class, forward_alone_block)
    _register("backward_alone_block", params_class, backward_alone_block)
    _register("propagate_block", params_class, propagate_block)
    _register("path_block", params_class, path_block)


def _register(operation: str, params_class: type, function: Callable[..., Any]) -> None:
    if not (isinstance(params_class, type) and issubclass(params_class, tuple) and hasattr(params_class, "_fields")):
        raise TypeError(f"{operation}: the class of the parameters must be a NamedTuple class, got {params_class!r}.")
    expected, given = (list(inspect.signature(f).parameters) for f in (_operations[operation][0], function))
    if given != expected:
        raise TypeError(
            f"{operation} of {params_class.__name__} must take the arguments ({', '.join(expected)}), "
            f"got ({', '.join(given)})."
        )
    _implementations[operation, params_class] = function
    # Now: if the file is edited while this process runs, its new contents are not what is compiled here.
    _digests[operation, params_class] = _digest_of_file(function)


def _digest_of_file(function: Callable[..., Any]) -> str | None:
    try:
        return file_digest(Path(inspect.getsourcefile(inspect.unwrap(function)) or ""))
    except (OSError, TypeError):
        return None


def implementation(operation: Callable[..., Any], params_class: type) -> Callable[..., Any]:
    """The function registered for an operation on records of `params_class`, or NotRegisteredError."""
    try:
        return _implementations[operation.__name__, params_class]
    except KeyError:
        owner = _operations[operation.__name__][1]
        raise NotRegisteredError(
            f"No {operation.__name__} is registered for {params_class.__name__}. Register it with "
            f"fastem.passes.blocks.register_{owner}({params_class.__name__}, {operation.__name__}=...)."
        ) from None


def require_registered(family_params: Any, latent_params: Any, latent_owner: str = "latent") -> None:
    """Raise NotRegisteredError here, rather than a page of numba's from inside the compilation."""
    for params, of_params in ((family_params, "family"), (latent_params, latent_owner)):
        for operation, owner in _operations.values():
            if owner == of_params:
                implementation(operation, type(params))


def by_arithmetic(in_float64: Callable[..., Any], in_float32: Callable[..., Any]) -> Callable[..., Any]:
    """A function of parameters of a family, first, and more: one of two; only that one is compiled."""

    def either(family_params: Any, *arguments: Any) -> Any:
        chosen = in_float32 if type(family_params) in _in_float32 else in_float64
        return chosen(family_params, *arguments)

    @overload(either, jit_options=BLOCK_OPTIONS, strict=False)
    def _compiled(family_params: Any, *arguments: Any) -> Callable[..., Any]:
        return in_float32 if family_params.instance_class in _in_float32 else in_float64

    return either


def fingerprint(*params_classes: type) -> str:
    """Digest of the files that hold the block functions for these classes; OSError for functions that were typed in."""
    digests = {digest for (_, params_class), digest in _digests.items() if params_class in params_classes}
    if None in digests:
        raise FileNotFoundError(f"The source of a block function of {params_classes} cannot be read.")
    return "".join(sorted(digest for digest in digests if digest is not None))
