"""Selection of hidden Markov models: known answers and published values, shared reads, sequences, errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import fastem
from fastem import HMM, CategoricalHMM, GaussianHMM, GaussianMixture, PoissonHMM, open_source, select
from fastem.cli import app
from fastem.fitting.problem import Problem
from fastem.fitting.summary import summary_of
from fastem.latents.hmm import HmmLatent
from fastem.latents.mixture import MixtureLatent
from fastem.model import Model, Params
from fastem.schedules.accelerate.squarem import Squarem
from fastem.schedules.batch import fit_batch
from fastem.search.heldout import hold_out
from fastem.search.split import copied_start, split_starts
from fastem.sources import ArraySource, SequenceSource, SourceError
from fastem.starts.chain import chain_from_chunks, start_of_chain
from fastem.starts.given import one_hot
from tests.cases import CASES as ALL_CASES
from tests.cases import memory_of
from tests.conftest import ROOT

STARTPROB = [0.5, 0.3, 0.2]
TRANSMAT = [[0.9, 0.06, 0.04], [0.1, 0.85, 0.05], [0.02, 0.08, 0.9]]
N_SEQUENCES, LENGTH = 30, 80
LENGTHS = np.full(N_SEQUENCES, LENGTH)
TRUTHS = {
    "gaussian": GaussianHMM.from_parameters(STARTPROB, TRANSMAT, [[0, 0], [6, 0], [0, 6]], np.ones((3, 2))),
    "poisson": PoissonHMM.from_parameters(STARTPROB, TRANSMAT, [1.0, 8.0, 30.0]),
    "categorical": CategoricalHMM.from_parameters(STARTPROB, TRANSMAT, 0.04 + 0.76 * np.eye(3, 6)),
}
ESTIMATORS = {
    "gaussian": GaussianHMM(),
    "poisson": PoissonHMM(),
    "categorical": CategoricalHMM(),
    "mixed": HMM(["poisson", "normal"]),
}
CASES = [case for case in ALL_CASES if case.latent is HmmLatent]
QUICK = {"n_components": range(1, 5), "random_state": 0, "n_threads": 1}


def sequences(kind, n_sequences=N_SEQUENCES):
    truth = TRUTHS["poisson" if kind == "mixed" else kind]
    drawn = [truth.sample(LENGTH, random_state=seed) for seed in range(n_sequences)]
    X, states = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    if kind == "mixed":
        X = np.column_stack([X, np.random.default_rng(0).normal(2.0 * states)])
    return X


def chain_select(kind, X=None, lengths=LENGTHS, **settings):
    X = sequences(kind) if X is None else X
    types = {"covariance_types": "diag"} if kind == "gaussian" else {}
    return select(X, ESTIMATORS[kind], lengths=lengths, **{**QUICK, **types, **settings})


def stages(n_sequences=40):
    """Sequences that go through three stages, of which the first and the last look alike."""
    random = np.random.default_rng(0)
    durations = random.geometric(0.1, size=(n_sequences, 3))
    parts = [random.normal(mean, 1.0, n) for line in durations for mean, n in zip((0.0, 5.0, 0.0), line, strict=True)]
    return np.concatenate(parts)[:, None], durations.sum(axis=1)


# Answers.


@pytest.mark.parametrize("criterion", ["bic", "heldout"])
@pytest.mark.parametrize("kind", list(ESTIMATORS))
def test_states_are_counted(kind, criterion):
    X = sequences(kind)
    # Of three held out sequences little would be sure.
    selection = chain_select(kind, X, criterion=criterion, validation_fraction=0.3)
    assert selection.best_params_["n_components"] == 3
    assert selection.to_dict()["n_components"] == [1, 2, 3, 4]
    logliks = selection.to_dict()["loglik"]
    assert np.all(np.diff(logliks) > -1e-6 * abs(logliks[0])), "no candidate is worse than a smaller one"
    best = selection.best_estimator_
    assert type(best) is type(ESTIMATORS[kind])
    assert not hasattr(ESTIMATORS[kind], "transmat_")
    np.testing.assert_allclose(np.sort(np.diagonal(best.transmat_)), [0.85, 0.9, 0.9], atol=0.04)
    assert best.fit_report_.n_rows == len(X)
    if criterion == "bic":
        row = selection.table[selection.best_index_]
        assert best.score(X, LENGTHS) == pytest.approx(row["loglik"], rel=1e-9)
        assert best.bic(X, LENGTHS) == pytest.approx(selection.best_score_, rel=1e-9)
        alone = type(best)(**{**best.get_params(deep=False), "n_init": 4}).fit(X, LENGTHS)
        assert row["loglik"] >= alone.score(X, LENGTHS) - 0.01


def test_earthquakes_as_published():
    """Zucchini & MacDonald (2009), table 6.1 (stationary chains): minus log-likelihoods of 1 to 3 states, and BIC."""
    counts = np.loadtxt(ROOT / "examples" / "earthquakes.csv", delimiter=",", skiprows=1)[:, 1]
    selection = select(
        counts, PoissonHMM(startprob_prior="stationary"), n_components=[1, 2, 3], random_state=0, tol=1e-8
    )
    assert selection.to_dict()["loglik"] == pytest.approx([-391.9189, -342.3183, -329.4603], abs=5e-5)
    assert selection.to_dict()["n_parameters"] == [1, 4, 9]
    assert selection.best_params_ == {"n_components": 3}


def test_stages_are_counted_in_time():
    X, lengths = stages()
    estimator = GaussianHMM(transmat_prior="left-right")
    selection = select(X, estimator, lengths=lengths, covariance_types="diag", **QUICK)
    best = selection.best_estimator_
    assert best.n_components == 3
    np.testing.assert_allclose(best.means_[:, 0], [0.0, 5.0, 0.0], atol=0.3)
    assert not np.tril(best.transmat_, -1).any()
    np.testing.assert_array_equal(best.startprob_, [1.0, 0.0, 0.0])
    alone = GaussianHMM(3, transmat_prior="left-right", n_init=8, random_state=0).fit(X, lengths)
    assert best.score(X, lengths) == pytest.approx(alone.score(X, lengths), abs=0.01)


# Data.


def test_all_candidates_share_each_read():
    X, reads = sequences("poisson"), []

    def pieces():
        reads.append(1)
        return iter(np.array_split(X, 4))

    selection = chain_select("poisson", pieces)
    iterations = selection.to_dict()["n_iter"]
    # Lengths, the scan with a look at the first row, the excerpt, and fits that start again from a smaller one.
    assert len(reads) <= 2 * max(iterations) + 14
    assert len(reads) < sum(iterations) + 4


@pytest.mark.parametrize("criterion", ["bic", "heldout"])
def test_a_file_gives_the_bits_of_an_array(criterion, tmp_path):
    X = sequences("poisson")
    ids = np.repeat(np.arange(N_SEQUENCES), LENGTH)
    np.save(tmp_path / "x.npy", np.column_stack([X, ids]))
    in_memory = chain_select("poisson", X, criterion=criterion)
    source = open_source(tmp_path / "x.npy", columns=[0], sequence_column=1)
    streamed = chain_select("poisson", source, None, criterion=criterion, memory_limit=memory_of(500, X))
    assert streamed.table == in_memory.table
    for name in ("startprob_", "transmat_", "lambdas_"):
        np.testing.assert_array_equal(
            getattr(streamed.best_estimator_, name), getattr(in_memory.best_estimator_, name), err_msg=name
        )


def test_any_number_of_threads_gives_the_same_bits():
    one, two = (chain_select("poisson", n_threads=n) for n in (1, 2))
    assert one.table == two.table


def test_a_sequence_of_weight_two_is_the_sequence_twice():
    X = sequences("poisson").reshape(N_SEQUENCES, LENGTH)
    weight = np.random.default_rng(1).integers(0, 3, size=N_SEQUENCES)
    twice = np.repeat(X, weight, axis=0)
    weighted = chain_select("poisson", X.reshape(-1, 1), sample_weight=weight.astype(float), tol=1e-9)
    repeated = chain_select("poisson", twice.reshape(-1, 1), np.full(len(twice), LENGTH), tol=1e-9)
    assert weighted.to_dict()["bic"][:3] == pytest.approx(repeated.to_dict()["bic"][:3], rel=1e-7)
    assert weighted.best_params_ == repeated.best_params_


def test_one_long_sequence_is_looked_at_in_pieces():
    X = TRUTHS["poisson"].sample(30_000, random_state=0)[0]
    selection = chain_select("poisson", X, None)
    assert selection.best_params_ == {"n_components": 3}
    assert selection.best_estimator_.score(X) == pytest.approx(selection.table[2]["loglik"], rel=1e-9)
    few = chain_select("poisson", X, None, max_rows=3000)
    assert few.best_params_ == {"n_components": 3}
    assert few.best_estimator_.fit_report_.n_rows == len(X)
    np.testing.assert_allclose(
        np.sort(few.best_estimator_.lambdas_, axis=0), np.sort(selection.best_estimator_.lambdas_, axis=0), rtol=1e-3
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_sequences_that_are_held_out_teach_nothing(weighted):
    random = np.random.default_rng(0)
    lengths = random.integers(5, 60, size=50)
    X = random.normal(size=(lengths.sum(), 2))
    weight = random.integers(0, 3, size=50).astype(float) if weighted else np.ones(50)
    rows = ArraySource(X, np.repeat(weight, lengths) if weighted else None)
    rest, held = hold_out(SequenceSource(rows, lengths), 0.2, np.random.default_rng(3))
    assert len(held.lengths) == round(0.2 * np.count_nonzero(weight))
    taught = sum(chunk.weight.sum() for chunk in rest.chunks())
    total = weight @ lengths
    pending_weight = np.ones(len(held.rows.X)) if held.rows.weight is None else held.rows.weight
    assert taught + pending_weight.sum() == total
    assert (pending_weight > 0).all()
    # Against repetition: mean per row, and the standard error of a ratio of means.
    values = random.normal(size=len(held.lengths))
    times = pending_weight[np.cumsum(held.lengths) - 1].astype(int)
    many, sizes = np.repeat(values, times), np.repeat(held.lengths, times)
    mean = many.sum() / sizes.sum()
    error = (many - mean * sizes).std() / np.sqrt(len(many) - 1) / sizes.mean()
    assert held.mean_and_error(values) == pytest.approx((mean, error), rel=1e-12)


# Starts.


@pytest.mark.parametrize("structure", [None, "left-right"])
def test_copies_of_states_change_nothing(structure):
    """Lumpability: a chain of copies gives rows the density that the chain of the originals gives them."""
    allowed = None if structure is None else np.triu(np.ones((6, 6), dtype=bool))
    parents = np.array([0, 0, 1, 2, 2, 2])
    random = np.random.default_rng(0)

    def chain(k):
        first = None if structure is None else np.arange(k) == 0
        return HmmLatent(k, None if allowed is None else allowed[:k, :k], first)

    small, large = chain(3), chain(6)
    mask = np.ones((3, 3)) if allowed is None else allowed[:3, :3]
    params = small.params(random.random(3), random.random((3, 3)) * mask)
    copies = large.of_copies(params, parents)
    means = random.normal(size=(3, 2))
    X = random.normal(size=(200, 2))
    lengths = np.array([50, 1, 149])
    logliks = []
    for latent, latent_params, centres in ((small, params, means), (large, copies, means[parents])):
        family = GaussianHMM(len(centres))._make_family(2, len(centres))
        model = Model(latent, family)
        full = Params(latent_params, family.params(centres, np.ones((len(centres), 2))))
        out = np.empty(200)
        model.log_prob(full, X, out, lengths)
        logliks.append(out)
    np.testing.assert_allclose(logliks[1], logliks[0], rtol=1e-12)


def test_known_labels_are_counted():
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 2)) + 20.0 * random.integers(0, 3, size=300)[:, None]
    source = SequenceSource(ArraySource(X), np.array([100, 1, 199]))
    family = GaussianHMM(3)._make_family(2, 3)
    mixture = GaussianMixture(3, covariance_type="diag", random_state=0).fit(X)
    latent, labels = HmmLatent(3), mixture.predict(X)
    found, _ = chain_from_chunks(
        Model(latent, family), source, lambda c: one_hot(labels[c.first_row : c.first_row + len(c)], 3), X.mean(axis=0)
    )
    counted = start_of_chain(Model(MixtureLatent(3), family), mixture._params, latent, source, 300)
    np.testing.assert_allclose(found.latent.startprob, counted.startprob, rtol=1e-14)
    np.testing.assert_allclose(found.latent.transmat, counted.transmat, rtol=1e-14)


@pytest.mark.parametrize("structure", [1.0, "left-right"])
def test_starts_from_a_smaller_chain(structure):
    X, lengths = stages()
    source = SequenceSource(ArraySource(X), lengths)
    small, large = (GaussianHMM(k, transmat_prior=structure, tol=1e-9, random_state=0) for k in (2, 4))
    small.fit(X, lengths)
    model = summary_of(large._model_spec(), ArraySource(X)).model

    def loglik(params):
        return sum(model.e_step(params, chunk).loglik for chunk in source.chunks())

    copied = copied_start(model, small._model, small._params, source, X.mean(axis=0))
    assert loglik(copied) >= small.score(X, lengths) - 1e-6
    split = list(split_starts(model, small._model, small._params, source, 2))
    # Along the one axis there is, and from the inside outwards; in time.
    assert len(split) == (2 if structure == 1.0 else 1)
    for params in split:
        if structure != 1.0:
            assert not np.tril(params.latent.transmat, -1).any()
            assert params.latent.startprob[0] == 1.0
        assert np.isfinite(loglik(params))


# The command line, and errors.


def test_the_command_line(tmp_path):
    X = sequences("poisson", 12)
    data = np.column_stack([np.repeat(np.arange(12), LENGTH), X])
    path, model = tmp_path / "x.csv", tmp_path / "model.npz"
    np.savetxt(path, data, delimiter=",", header="id,count", comments="", fmt="%d")
    options = ["select", str(path), "--hmm", "--family", "poisson", "--columns", "count", "--sequence-column", "id"]
    options += ["-k", "1-4", "--seed", "0"]
    shown = CliRunner().invoke(app, [*options, "--output", str(model)], env={"COLUMNS": "80"})
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.startswith("chosen by bic: hidden Markov model of")
    assert "3 states" in shown.stdout
    assert fastem.load(model).transmat_.shape == (3, 3)
    found = json.loads(CliRunner().invoke(app, [*options, "--json"]).stdout)
    ours = select(X, HMM("poisson"), lengths=[LENGTH] * 12, n_components=range(1, 5), random_state=0)
    assert found["best"] == ours.best_params_
    assert [row["bic"] for row in found["candidates"]] == pytest.approx(ours.to_dict()["bic"], rel=1e-12)
    wrong = CliRunner().invoke(app, ["select", str(path), "--sequence-column", "id"])
    assert wrong.exit_code == 2
    assert "Give --hmm, too" in " ".join(wrong.stderr.split())


@pytest.mark.parametrize(
    ("estimator", "settings", "error", "message"),
    [
        (PoissonHMM(), {"criterion": "icl"}, ValueError, "for mixtures, whose rows are independent"),
        (PoissonHMM(params="st"), {}, ValueError, "params is of a single fit"),
        (PoissonHMM(), {"max_iter": 5}, TypeError, "no setting 'max_iter'"),
        (PoissonHMM(), {"lengths": [10, 60]}, SourceError, "lengths"),
        (PoissonHMM(), {"lengths": None, "criterion": "heldout"}, ValueError, "no two sequences to hold out of 1 "),
        (PoissonHMM(transmat_prior=np.ones((2, 2))), {}, ValueError, "transmat_prior must be"),
        (PoissonHMM(), {"covariance_types": "full"}, ValueError, "PoissonHMM has none"),
        (PoissonHMM(), {"n_components": [500]}, ValueError, "larger than n_samples=60"),
        (GaussianMixture(), {}, ValueError, "lengths applies only to hidden Markov models, not to GaussianMixture"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_unusable_settings_are_told(estimator, settings, error, message):
    with pytest.raises(error, match=message):
        select(np.arange(60.0), estimator, **{"lengths": [20, 20, 20], "n_components": [1, 3], **settings})


def test_chains_of_every_family_are_split(case):
    """Whatever their statistics: the best of the starts is better than the chain that they come from, after some EM."""
    model = case.model(2)
    X, lengths = case.rows(case.model(), 900), np.array([250, 650])
    source = SequenceSource(ArraySource(X), lengths)
    large = Model(HmmLatent(3), model.family.with_components(3))
    small = fit_batch(Problem(model, source), case.params(model), tol=1e-6, max_iter=200)
    starts = list(split_starts(large, model, small.params, source, 2))
    assert len(starts) == 6
    settings = {"tol": 1e-6, "max_iter": 200, "accelerator": Squarem(large)}
    ends = [fit_batch(Problem(large, source), start, **settings).objective for start in starts]
    assert max(ends) > small.objective
