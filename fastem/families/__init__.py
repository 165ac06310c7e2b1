"""Observed distributions, one file each: a density, its statistics, its M-step, its constraints.

Families are values that mixtures and hidden Markov models take: ``Mixture(Poisson(exposure=True), 3)``,
``HMM([Normal(), Categorical(4)], 2)``, ``HMM(Linear(), 2)``.
"""

from typing import Any

from fastem.families.columns.bernoulli import Bernoulli
from fastem.families.columns.beta import Beta
from fastem.families.columns.binomial import Binomial
from fastem.families.columns.categorical import Categorical
from fastem.families.columns.exponential import Exponential
from fastem.families.columns.gamma import Gamma
from fastem.families.columns.geometric import Geometric
from fastem.families.columns.hurdle import HurdlePoisson
from fastem.families.columns.inverse_gaussian import InverseGaussian
from fastem.families.columns.log_normal import LogNormal
from fastem.families.columns.multinomial import Multinomial
from fastem.families.columns.negative_binomial import NegativeBinomial
from fastem.families.columns.poisson import Poisson
from fastem.families.columns.von_mises import VonMises
from fastem.families.columns.zero_inflated import ZeroInflatedPoisson
from fastem.families.gaussian.family import Normal
from fastem.families.gaussian.student import StudentT
from fastem.families.regression.binomial import BinomialRegression
from fastem.families.regression.gamma import GammaRegression
from fastem.families.regression.linear import Linear
from fastem.families.regression.poisson import PoissonRegression

__all__ = [
    "KINDS",
    "REGRESSIONS",
    "Bernoulli",
    "Beta",
    "Binomial",
    "BinomialRegression",
    "Categorical",
    "Exponential",
    "Gamma",
    "GammaRegression",
    "Geometric",
    "HurdlePoisson",
    "InverseGaussian",
    "Linear",
    "LogNormal",
    "Multinomial",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "PoissonRegression",
    "StudentT",
    "VonMises",
    "ZeroInflatedPoisson",
]

# The word for each, in the order in which messages and mixed columns have them.
KINDS: dict[str, Any] = {
    "normal": Normal,
    "poisson": Poisson,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "exponential": Exponential,
    "gamma": Gamma,
    "multinomial": Multinomial,
    "log_normal": LogNormal,
    "inverse_gaussian": InverseGaussian,
    "beta": Beta,
    "von_mises": VonMises,
    "geometric": Geometric,
    "negative_binomial": NegativeBinomial,
    "zero_inflated_poisson": ZeroInflatedPoisson,
    "hurdle_poisson": HurdlePoisson,
}

# The word for each family of a response given covariates.
REGRESSIONS: dict[str, Any] = {
    "linear": Linear,
    "poisson_regression": PoissonRegression,
    "binomial_regression": BinomialRegression,
    "gamma_regression": GammaRegression,
}
