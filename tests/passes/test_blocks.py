"""How families and latents register, and what happens when they do not, or do it wrongly."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from fastem.model import Params
from fastem.passes import blocks, row_pass
from fastem.passes.blocks import NotRegisteredError, register_family, register_latent
from fastem.passes.cache import file_digest
from fastem.passes.rows import rows_of, weights_of
from tests.cases import CASES


class Unknown(NamedTuple):
    means: np.ndarray


def log_prob_block(family_params, components, x, log_prob, scratch):
    pass


def accumulate_block(family_params, components, x, resp, scratch, family_stats, lane):
    pass


@pytest.mark.parametrize(("room", "function"), [("family", "log_prob_block"), ("latent", "posterior_block")])
def test_an_unregistered_class_says_what_to_register(room, function):
    model = CASES[0].model()
    params = CASES[0].params(model)._replace(**{room: Unknown(np.zeros((3, 2)))})
    lanes = model.accumulator(CASES[0].params(model))._lanes
    message = rf"No {function} is registered for Unknown.*register_{room}\(Unknown, {function}="
    with pytest.raises(NotRegisteredError, match=message):
        row_pass.fused_pass(params.family, params.latent, rows_of(np.ones((5, 2))), weights_of(None), lanes)
    with pytest.raises(NotRegisteredError, match=message):
        model.label(Params(params.latent, params.family), np.ones((5, 2)), np.empty(5, dtype=np.int64))


def test_arguments_must_be_those_of_the_operation():
    with pytest.raises(
        TypeError, match=r"log_prob_block of Unknown must take the arguments \(family_params, components, x"
    ):
        register_family(Unknown, log_prob_block=lambda x: None, accumulate_block=accumulate_block)
    with pytest.raises(TypeError, match="posterior_block of Unknown must take"):
        register_latent(Unknown, posterior_block=log_prob_block)


def test_parameters_must_be_a_namedtuple():
    with pytest.raises(TypeError, match="must be a NamedTuple class"):
        register_family(dict, log_prob_block=log_prob_block, accumulate_block=accumulate_block)


def test_the_fingerprint_of_a_class_tells_the_files_of_its_block_functions():
    for (_, params_class), function in blocks._implementations.items():
        assert file_digest(Path(inspect.getsourcefile(function))) in blocks.fingerprint(params_class)
