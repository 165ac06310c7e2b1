"""Parameters that stay where they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from fastem._options import ARRAY, FLAG, Allowed, Choice, Options, texts
from fastem.model import Model, Params
from fastem.stats import ExpectedStats, Repair

# The fields of a chain's parameters that belong to each letter.
_OF_CHAIN = {
    "s": ("startprob", "log_startprob"),
    "t": ("transmat", "transposed", "log_transmat", "log_transposed", "rarest"),
    "w": ("weights", "log_weights"),
}
# The field of a Gaussian family that holds what stays.
_OF_GAUSSIANS = {"m": "fixed_means", "c": "fixed_covariances"}


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Fixed(Options):
    """Parameters that stay where they start, or, with `warm_start`, as they were.

    Parameters
    ----------
    weights : bool, array-like (K,) of bool, or "equal", default False
        Weights that stay at `weights_init`, all or some; or equal ones.
    means : bool or array-like (K,) of bool, default False
        Means that stay at `means_init`. `GaussianMixture` only.
    covariances : bool or array-like (K,) of bool, default False
        Covariances that stay the inverses of `precisions_init`. `GaussianMixture` only.

    Raises
    ------
    ValueError
        For a value of another kind; in `fit`, for one that does not suit the number of components, or where no first
        values are given.

    Examples
    --------
    >>> from fastem import Fixed, GaussianMixture
    >>> mixture = GaussianMixture(2, means_init=[[20.0], [40.0]], fixed=Fixed(means=[True, False]))
    >>> mixture.fixed
    Fixed(means=[True, False])
    """

    weights: Any = False
    means: Any = False
    covariances: Any = False

    _allowed: ClassVar[dict[str, tuple[Allowed, ...]]] = {
        "weights": (texts("equal"), FLAG, ARRAY),
        "means": (FLAG, ARRAY),
        "covariances": (FLAG, ARRAY),
    }


FIXED = Choice((Fixed,), {None: Fixed()})


@dataclass(frozen=True)
class FixedModel(Model):
    """A hidden Markov model whose M-step leaves some parameters as they are, to the bit.

    Parameters
    ----------
    fixed : str
        "s" for the probabilities of the first state, "t" for those of transitions, "w" for the weights of components
        in states; of a family of Gaussians "m" or "c" for means or covariances alone.
    whole_family : bool
        Whether all parameters of the family stay.
    """

    fixed: str = ""
    whole_family: bool = False

    def m_step(self, stats: ExpectedStats, params: Params) -> tuple[Params, list[Repair]]:
        """As of a `Model`, for what is not held."""
        found, repairs = Model(self.latent, self._family_at(params.family), backend=self.backend).m_step(stats, params)
        kept = [name for letter in self.fixed for name in _OF_CHAIN.get(letter, ())]
        latent = found.latent._replace(**{name: getattr(params.latent, name) for name in kept})
        if self.whole_family:
            return Params(latent, params.family), []
        return Params(latent, found.family), repairs

    def _family_at(self, params: Any) -> Any:
        """The family, with what is held of it fixed where these parameters are."""
        values = {"m": "means", "c": "covariances"}
        fixed = [letter for letter in _OF_GAUSSIANS if letter in self.fixed and not self.whole_family]
        return replace(self.family, **{_OF_GAUSSIANS[letter]: getattr(params, values[letter]) for letter in fixed})
