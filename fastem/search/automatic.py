"""How many starts race when nobody says so: as many as cost little, by the size of the data and the model alone."""

from __future__ import annotations

from fastem.fitting.spec import ModelSpec
from fastem.fitting.starting import ChainStart, MixtureStart
from fastem.model import Model
from fastem.starts.chain import is_left_right
from fastem.starts.several import is_separable

# Work of one iteration, rows x (parameters + a few numbers for each component).
_PER_COMPONENT = 8
# Up to so much in sum, starts that run side by side cost little more than fewer of them.
_CHEAP = 1_000_000
_MOST, _LEAST = 16, 8
# A pass with more work than this is a long one.
_LONG = 2_000_000
# Starts that run one after the other, where an iteration has no more work than this.
_SHORT, _IN_TURN = 250_000, 4


def n_side_by_side(spec: ModelSpec, model: Model, n_rows: int) -> int:
    """How many starts race side by side; zero where they cannot, or none are wanted."""
    start, work = spec.make_start, _work(model, n_rows)
    if work > _LONG or not isinstance(start, MixtureStart) or not start.is_drawn or not is_separable(model):
        return 0
    if model.latent.n_components == 1 or spec.max_iter == 0:
        return 0
    return min(_MOST, max(_LEAST, _CHEAP // work))


def n_in_turn(spec: ModelSpec, model: Model, n_rows: int) -> int:
    """How many starts race one after the other, each of which has all the costs of an iteration; one for no race."""
    start = spec.make_start
    is_drawn = isinstance(start, MixtureStart | ChainStart) and start.is_drawn and not is_left_right(model.latent)
    is_short = model.family.n_components > 1 and _work(model, n_rows) <= _SHORT
    # Without iterations the start is what is asked for.
    return _IN_TURN if is_drawn and is_short and spec.max_iter > 0 else 1


def _work(model: Model, n_rows: int) -> int:
    """Of one iteration."""
    return n_rows * (model.n_parameters() + _PER_COMPONENT * model.family.n_components)
