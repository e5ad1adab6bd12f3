"""Representations of results: one line, a table in a notebook, bars and plots without what is not there."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.decomposition
import sklearn.mixture
import sklearn.model_selection

from daskml_kit.decomposition import PCA
from daskml_kit.feature_selection import SelectKBest, f_classif
from daskml_kit.linear_model import LogisticRegression
from daskml_kit.mixture import GaussianMixture
from daskml_kit.model_selection import ShuffleSplit
from daskml_kit.parameter_server import Asynchronous, ParameterServer, sgd, train

X = np.random.default_rng(0).normal(size=(400, 3))


def squares(params, X, y):
    error = X @ params["w"] - y
    return (error**2).mean(), {"w": 2 * X.T @ error / len(y)}


def trained(**options):
    return train(squares, {"w": np.zeros(3)}, X, X[:, 0], update=sgd(0.01), epochs=2, n_jobs=2, **options)


def test_profile_tells_passes_and_place():
    profile = LogisticRegression().fit(X, X[:, 0] > 0).profile_
    assert repr(profile).startswith(f"<Profile: passes {profile.passes}, tasks {profile.tasks}, seconds ")
    assert "<th>where</th><td>in threads of this process</td>" in profile._repr_html_()


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_training_tells_losses_that_it_has(share, capsys):
    result = trained(validation_fraction=share, verbose=1)
    texts = repr(result), result._repr_html_(), repr(result.history), capsys.readouterr().err
    assert not any("nan" in text for text in texts)
    assert all(("validation" in text) == (share > 0) for text in (repr(result), texts[3]))
    assert "params w (3,)" in texts[0]
    assert texts[1].count("<tr>") == 2 + len(result.history._facts()) + 1 + 2  # facts, facts, a head, two epochs


def test_training_bar_counts_rows(capsys):
    trained(verbose=1)
    assert "training: 100%" in capsys.readouterr().err


@pytest.mark.parametrize("training", [None, Asynchronous(push_every=1)])
def test_plots_of_trainings_have_no_empty_panel(training):
    history = trained(training=training).history
    history.staleness_counts.update([3] if training else [])  # two threads of a short training may not have been late
    axes = history.plot().axes
    assert all(panel.lines or panel.patches for panel in axes)
    assert ("staleness of pushes" in [panel.get_title() for panel in axes]) == (training is not None)


def test_parameter_server_tells_its_parameters():
    with ParameterServer({"w": np.zeros((3, 2)), "<b>": np.zeros(2)}, update=sgd(1.0), client="local") as server:
        assert repr(server).startswith(
            "<ParameterServer: params w (3, 2), <b> (2,), numbers 8 of float64, in this proce"
        )
        assert "w (3, 2), &lt;b&gt; (2,)" in server._repr_html_()


def test_defaults_are_not_told():
    assert repr(SelectKBest(f_classif)) == "SelectKBest()"
    assert repr(ShuffleSplit(3)) == repr(sklearn.model_selection.ShuffleSplit(3))
    assert "blockwise=True" in repr(ShuffleSplit(3, blockwise=True))


def test_fitted_numbers_are_those_of_numpy():
    X = np.random.default_rng(0).normal(size=(30, 3))
    for ours, theirs in (
        (PCA("mle"), sklearn.decomposition.PCA("mle")),
        (GaussianMixture(random_state=0), sklearn.mixture.GaussianMixture(random_state=0)),
    ):
        told = vars(theirs.fit(X))
        found = {name: type(value) for name, value in vars(ours.fit(X)).items() if name in told}
        assert found == {name: type(told[name]) for name in found}
