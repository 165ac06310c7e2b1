"""Observed distributions, one file each: a density, its statistics, its M-step, its constraints.

The families of columns are values that mixtures and hidden Markov models take: ``Mixture(Poisson(exposure=True), 3)``,
``HMM([Normal(), Categorical(4)], 2)``.
"""

from fastem.families.columns.bernoulli import Bernoulli
from fastem.families.columns.categorical import Categorical
from fastem.families.columns.exponential import Exponential
from fastem.families.columns.gamma import Gamma
from fastem.families.columns.multinomial import Multinomial
from fastem.families.columns.poisson import Poisson
from fastem.families.gaussian.family import Normal
from fastem.families.gaussian.student import StudentT

__all__ = [
    "KINDS",
    "Bernoulli",
    "Categorical",
    "Exponential",
    "Gamma",
    "Multinomial",
    "Normal",
    "Poisson",
    "StudentT",
]

# The word for each, in the order in which messages and mixed columns have them.
KINDS: dict[str, type] = {
    "normal": Normal,
    "poisson": Poisson,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "exponential": Exponential,
    "gamma": Gamma,
    "multinomial": Multinomial,
}
