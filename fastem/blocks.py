"""The three block operations, and how a family or a latent registers for them.

A block is a few hundred rows, laid out features x rows in float64, so that the innermost loop of every
operation runs over rows and vectorises. The parallel pass calls the three functions of this module;
numba resolves each call, at compile time, on the class of the parameter record.

==================  =======  ==================================================================
operation           owner    meaning
==================  =======  ==================================================================
`log_prob_block`    family   log-density of each row under each component
`posterior_block`   latent   log-densities become responsibilities; adds the latent's counts
`accumulate_block`  family   adds the family's expected statistics
==================  =======  ==================================================================

Every block has the same number of rows, a multiple of eight: the last one of a chunk is filled up with
rows of weight zero.

An operation handles the components that it is told to, in that order: line a of a block of log-densities
or responsibilities belongs to component ``components[a]``. A pass that knows some components to be out
of reach of every row of a block leaves them out (see `fastem.reach`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.extending import overload

from fastem._jit import BLOCK_OPTIONS, file_digest, source_digest

_implementations: dict[tuple[str, type], Callable[..., Any]] = {}


class NotRegisteredError(TypeError):
    """A parameter record has no block operations."""


def scratch_lines(n_features: int) -> int:
    """Lines of float64 numbers, one for each row of a block, that a pass lends to each block operation."""
    return 2 * n_features + 8


def log_prob_block(family_params, components, x, log_prob, scratch):
    """Set ``log_prob[a, i] = log p(x[:, i] | component components[a])`` for each row i of the block, in nats.

    Parameters
    ----------
    family_params : NamedTuple of arrays
    components : (A,) int64 array
    x : (n_features, rows) float64 array
    log_prob : (A, rows) float64 array, overwritten
    scratch : (scratch_lines(n_features), rows) float64 array, free to use
    """
    implementation(log_prob_block, type(family_params))(family_params, components, x, log_prob, scratch)


def posterior_block(latent_params, components, log_prob, weight, shift, norm, scratch, latent_stats, lane):
    """Turn log-densities into responsibilities, in place, and add the latent's counts.

    Parameters
    ----------
    latent_params : NamedTuple of arrays
    components : (A,) int64 array
    log_prob : (A, rows) float64 array
        Log-densities on entry, ``weight[i] * p(component components[a] | row i)`` on return.
    weight : (rows,) float64 array
    shift, norm : (rows,) float64 arrays, overwritten
        The log-likelihood of row i is ``shift[i] + log(norm[i])``, in nats, with `norm` from 1 to 1e30.
        `shift` is minus infinity for a row that is impossible under every component, whose
        responsibilities are all zero. In two parts, because a sum of logarithms is the logarithm of a
        product, which is cheaper.
    scratch : float64 array, free to use
    latent_stats : Additive
        With a leading axis of lanes.
    lane : int
    """
    implementation(posterior_block, type(latent_params))(
        latent_params, components, log_prob, weight, shift, norm, scratch, latent_stats, lane
    )


def accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
    """Add the expected statistics of the block to one lane of `family_stats`.

    Parameters
    ----------
    family_params : NamedTuple of arrays
    components : (A,) int64 array
    x : (n_features, rows) float64 array
    resp : (A, rows) float64 array
        Responsibilities times weights; zero in the rows that fill up the block.
    scratch : float64 array, free to use
    family_stats : Additive
        With a leading axis of lanes.
    lane : int
    """
    implementation(accumulate_block, type(family_params))(
        family_params, components, x, resp, scratch, family_stats, lane
    )


def register_family(
    params_class: type, *, log_prob_block: Callable[..., None], accumulate_block: Callable[..., None]
) -> None:
    """Let a pass run a family whose parameters are records of `params_class`.

    Parameters
    ----------
    params_class : type
        A NamedTuple class.
    log_prob_block, accumulate_block : callable
        Plain functions that numba can compile, with the arguments of the operations of this module.

    Raises
    ------
    TypeError
        When the class is not a NamedTuple, or the arguments of a function are not those of the operation.
    """
    _register("log_prob_block", params_class, log_prob_block)
    _register("accumulate_block", params_class, accumulate_block)


def register_latent(params_class: type, *, posterior_block: Callable[..., None]) -> None:
    """Let a pass run a hidden structure whose parameters are records of `params_class`."""
    _register("posterior_block", params_class, posterior_block)


def _register(operation: str, params_class: type, function: Callable[..., None]) -> None:
    if not (isinstance(params_class, type) and issubclass(params_class, tuple) and hasattr(params_class, "_fields")):
        raise TypeError(f"{operation}: the class of the parameters must be a NamedTuple class, got {params_class!r}.")
    expected, given = (list(inspect.signature(f).parameters) for f in (_operations[operation], function))
    if given != expected:
        raise TypeError(
            f"{operation} of {params_class.__name__} must take the arguments ({', '.join(expected)}), "
            f"got ({', '.join(given)})."
        )
    _implementations[operation, params_class] = function


def implementation(operation: Callable[..., Any], params_class: type) -> Callable[..., None]:
    """The function registered for an operation on records of `params_class`.

    Raises
    ------
    NotRegisteredError
    """
    try:
        return _implementations[operation.__name__, params_class]
    except KeyError:
        kind = "latent" if operation is posterior_block else "family"
        raise NotRegisteredError(
            f"No {operation.__name__} is registered for {params_class.__name__}. "
            f"Register it with fastem.blocks.register_{kind}({params_class.__name__}, {operation.__name__}=...)."
        ) from None


def fingerprint(*params_classes: type) -> str:
    """Digest of the sources of all that is compiled into a pass over these classes of parameters."""
    files = {
        Path(inspect.getsourcefile(inspect.unwrap(function)) or "")
        for (_, params_class), function in _implementations.items()
        if params_class in params_classes
    }
    return source_digest() + file_digest(*sorted(files))


_operations = {f.__name__: f for f in (log_prob_block, posterior_block, accumulate_block)}


@overload(log_prob_block, jit_options=BLOCK_OPTIONS)
def _compile_log_prob_block(family_params, components, x, log_prob, scratch):
    return implementation(log_prob_block, family_params.instance_class)


@overload(posterior_block, jit_options=BLOCK_OPTIONS)
def _compile_posterior_block(latent_params, components, log_prob, weight, shift, norm, scratch, latent_stats, lane):
    return implementation(posterior_block, latent_params.instance_class)


@overload(accumulate_block, jit_options=BLOCK_OPTIONS)
def _compile_accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
    return implementation(accumulate_block, family_params.instance_class)
