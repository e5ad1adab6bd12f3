"""Alternating least squares minimizes what a plain loop in NumPy does, for ids of any type, layouts and workers."""

from __future__ import annotations

import uuid

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics.pairwise import cosine_similarity

from daskml_kit.datasets import make_ratings
from daskml_kit.engines import open as opening
from daskml_kit.exceptions import DataError
from daskml_kit.model_selection import GridSearchCV, cross_val_score
from daskml_kit.numerics import factor_rows
from daskml_kit.numerics.linalg import solve_nonnegative
from daskml_kit.recommendation import ALS, base, rating_tables

N_USERS, N_ITEMS, N_FACTORS = 60, 40, 3
KINDS = ("explicit", "implicit")
FITTED = ("users_", "items_", "user_factors_", "item_factors_", "objective_")


@pytest.fixture(scope="module")
def ratings():
    frame = make_ratings(N_USERS, N_ITEMS, 1200, N_FACTORS, random_state=0).compute()
    return frame.sample(frac=1, random_state=0).reset_index(drop=True)


def model_of(kind, **options):
    return ALS(N_FACTORS, implicit=kind == "implicit", **{"alpha": 2.0, "random_state": 0, "max_iter": 4, **options})


def objective_of(model, users, items, values):
    """What is minimized, over all pairs as a matrix."""
    U, V, strength = model.user_factors_, model.item_factors_, model.regularization
    if model.implicit:
        R = np.zeros((len(U), len(V)))
        np.add.at(R, (users, items), values)
        fit = ((1 + model.alpha * np.abs(R)) * ((R > 0) - U @ V.T) ** 2).sum()
        return fit + strength * ((U**2).sum() + (V**2).sum())
    fit = ((values - (U @ V.T)[users, items]) ** 2).sum()
    counts = [np.bincount(codes, minlength=len(F)) for codes, F in ((users, U), (items, V))]
    return fit + strength * sum(n @ (F**2).sum(axis=1) for n, F in zip(counts, (U, V), strict=True))


def plain(model, users, items, values, solve=np.linalg.solve, sign=np.asarray):
    """Alternate by a dense solve for each row, from the same start."""
    n, first = (users.max() + 1, items.max() + 1), int(not model.implicit)  # side 0 is that of users
    V = sign(np.random.RandomState(0).normal(scale=N_FACTORS**-0.5, size=(n[1 - first], N_FACTORS)))
    codes, eye = (users, items), np.eye(N_FACTORS)
    for step in range(first, 2 * model.max_iter + first):
        own, other = codes[step % 2], codes[1 - step % 2]
        found = np.empty((n[step % 2], N_FACTORS))
        for row in range(len(found)):
            mine = own == row
            F, r = V[other[mine]], values[mine]
            if model.implicit:
                confidence = 1 + model.alpha * np.abs(r)
                left = V.T @ V + (F.T * (confidence - 1)) @ F + model.regularization * eye
                found[row] = solve(left, F.T @ (confidence * (r > 0)))
            else:
                found[row] = solve(F.T @ F + model.regularization * mine.sum() * eye, F.T @ r)
        U, V = V, found
    return (V, U) if first else (U, V)


@pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "compiled"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_factors_are_those_of_plain_alternation(ratings, kind, compiled, monkeypatch):
    monkeypatch.setattr(factor_rows, "MANY_PRODUCTS", 0 if compiled else np.inf)
    users, items, values = (ratings[name].to_numpy() for name in ratings)
    values = values - 3 * (kind == "implicit")  # some of which are dislikes
    model = model_of(kind).fit(ratings[["user", "item"]], values)
    U, V = plain(model, users, items, values)
    assert_allclose(model.user_factors_, U, atol=1e-9)
    assert_allclose(model.item_factors_, V, atol=1e-9)
    assert model.objective_[-1] == pytest.approx(objective_of(model, users, items, values), rel=1e-9)
    assert (np.diff(model.objective_) < 0).all()
    assert_allclose(model.predict(ratings[["user", "item"]]), (U @ V.T)[users, items], atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_conjugate_gradients_compiled_and_not(ratings, kind, monkeypatch):
    users, items, values = (ratings[name].to_numpy() for name in ratings)
    found = []
    for products in (0, np.inf):
        monkeypatch.setattr(factor_rows, "MANY_PRODUCTS", products)
        found.append(model_of(kind, solver="cg", cg_steps=2).fit(ratings[["user", "item"]], values))
        assert found[-1].objective_[-1] == pytest.approx(objective_of(found[-1], users, items, values), rel=1e-9)
    assert_allclose(found[0].user_factors_, found[1].user_factors_, rtol=1e-6, atol=1e-9)
    exact = model_of(kind).fit(ratings[["user", "item"]], values)
    many = model_of(kind, solver="cg", cg_steps=20).fit(ratings[["user", "item"]], values)
    assert_allclose(many.item_factors_, exact.item_factors_, atol=1e-6)


@pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "compiled"])
@pytest.mark.parametrize("kind", KINDS)
def test_nonnegative_factors_are_those_of_nonnegative_least_squares(ratings, kind, compiled, monkeypatch):
    monkeypatch.setattr(factor_rows, "MANY_PRODUCTS", 0 if compiled else np.inf)
    users, items, values = (ratings[name].to_numpy() for name in ratings)
    values = values - 3
    model = model_of(kind, nonnegative=True).fit(ratings[["user", "item"]], values)
    U, V = plain(model, users, items, values, solve=solve_nonnegative, sign=np.abs)
    assert_allclose(model.user_factors_, U, atol=1e-8)
    assert_allclose(model.item_factors_, V, atol=1e-8)
    assert 0 < (model.user_factors_ == 0).mean() < 1
    assert model.objective_[-1] == pytest.approx(objective_of(model, users, items, values), rel=1e-9)
    assert (np.diff(model.objective_) < 0).all()


IDS = {
    "numbers": lambda n: np.arange(n) * 7 - 50,
    "strings": lambda n: np.array([f"id {i}" for i in range(n)], object),
    "uuids": lambda n: np.array([uuid.UUID(int=i * 2**70) for i in range(n)], object),
    "times": lambda n: pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(n), unit="h"),
    "categories": lambda n: pd.Categorical([f"{i}" for i in range(n)]),
}


@pytest.mark.parametrize("ids", IDS)
def test_ids_of_any_type(ratings, ids):
    names = [pd.Series(IDS[ids](n)) for n in (N_USERS, N_ITEMS)]
    X = pd.DataFrame({"u": names[0][ratings["user"]].array, "i": names[1][ratings["item"]].array})
    by_number = model_of("explicit").fit(ratings[["user", "item"]], ratings["rating"])
    model = model_of("explicit").fit(X, ratings["rating"])
    assert sorted(model.users_) == list(model.users_)
    order = np.argsort(np.asarray(names[0]), kind="stable")
    assert_array_equal(model.users_, np.asarray(names[0])[order])
    if ids in ("numbers", "times", "uuids"):  # else the order of the items, and so their start, is another
        assert_array_equal(model.predict(X), by_number.predict(ratings[["user", "item"]]))
    wanted = names[0][:3]
    found = model.recommend(wanted, 4, exclude=X)
    for user, items, values in zip(wanted, *found, strict=True):
        left = sorted(set(names[1]) - set(X.loc[X["u"] == user, "i"]), key=list(names[1]).index)
        scores = model.predict(pd.DataFrame({"u": [user] * len(left), "i": left}))
        best = np.argsort(-scores, kind="stable")[:4]
        assert set(items[: len(best)]) == {np.asarray(pd.Series(left))[i] for i in best}
        assert_allclose(values[: len(best)], scores[best])


LAYOUTS = {
    "array": lambda X, y: (X.to_numpy(), y.to_numpy()),
    "blocks": lambda X, y: (
        da.from_array(X.to_numpy(), chunks=((500, 0, 300, 400), 1)),
        da.from_array(y.to_numpy(), 250),
    ),
    "frame": lambda X, y: (dd.from_pandas(X, npartitions=4), dd.from_pandas(y, npartitions=4)),
    "unknown sizes": lambda X, y: (
        dd.from_pandas(X, npartitions=3).to_dask_array(),
        dd.from_pandas(y, npartitions=3).to_dask_array(),
    ),
    "y in memory": lambda X, y: (da.from_array(X.to_numpy(), chunks=(300, 2)), y),
    "X in memory": lambda X, y: (X, da.from_array(y.to_numpy(), chunks=300)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_layouts_have_the_same_bits(ratings, kind, layout):
    X, y = ratings[["user", "item"]], ratings["rating"]
    expected = model_of(kind).fit(X, y)
    given = LAYOUTS[layout](X, y)
    found = model_of(kind).fit(*given)
    for name in FITTED:
        assert_array_equal(getattr(found, name), getattr(expected, name))
    predicted = found.predict(given[0])
    assert_array_equal(dask.compute(predicted)[0], expected.predict(X))
    if kind == "explicit":
        assert found.score(*given) == pytest.approx(expected.score(X, y))


@pytest.mark.slow
def test_the_bits_are_those_of_the_workers(client, ratings, monkeypatch):
    monkeypatch.setattr(rating_tables, "SHARD_RATINGS", 50)
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    frame = ratings.assign(user=ratings["user"].map("u{}".format))
    frame = pd.concat([frame, frame[:5].assign(user="rare")])  # who needs few of the factors of others
    held = client.persist(dd.from_pandas(frame, npartitions=5))
    for kind, solver in zip(KINDS, ("cholesky", "cg"), strict=True):
        here = model_of(kind, solver=solver).fit(frame[["user", "item"]], frame["rating"])
        there = model_of(kind, solver=solver).fit(held[["user", "item"]], held["rating"])
        assert there.profile_.where == "on the workers of the cluster"
        assert there.profile_.passes == 8
        for name in FITTED:
            assert_array_equal(getattr(there, name), getattr(here, name))


def test_single_precision_stays(ratings):
    X, y = ratings[["user", "item"]], ratings["rating"].astype(np.float32)
    single, double = model_of("explicit").fit(X, y), model_of("explicit").fit(X, y.astype(float))
    assert single.user_factors_.dtype == single.predict(X).dtype == np.float32
    assert single.objective_[-1] == pytest.approx(double.objective_[-1], rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_that_come_several_times(ratings, kind):
    twice = pd.concat([ratings, ratings[:300].assign(rating=ratings["rating"][:300] + 1)])
    users, items, values = (twice[name].to_numpy() for name in ratings)
    model = model_of(kind).fit(twice[["user", "item"]], values)
    assert model.objective_[-1] == pytest.approx(objective_of(model, users, items, values), rel=1e-9)


def test_views_without_ratings_count_one(ratings):
    X = ratings[["user", "item"]]
    found = model_of("implicit").fit(dd.from_pandas(X, npartitions=3))
    assert_array_equal(found.user_factors_, model_of("implicit").fit(X, np.ones(len(X))).user_factors_)


def test_unseen_ids(ratings):
    X, y = ratings[["user", "item"]], ratings["rating"]
    strange = np.array([[0, 999], [999, 0], [-1, -1], [0, 1]])
    for kind, cold_start, expected in (
        ("explicit", "mean", y.mean()),
        ("explicit", "nan", np.nan),
        ("implicit", "mean", 0.0),
    ):
        model = model_of(kind, cold_start=cold_start).fit(X, y)
        predicted = model.predict(strange)
        assert_allclose(predicted[:3], [expected] * 3)
        assert np.isfinite(predicted[3])
    found = model.recommend([999, 0], 2)
    assert_array_equal(found.items[0], [-1, -1])
    assert np.isnan(found.ratings[0]).all()
    assert (found.items[1] >= 0).all()
    words = model_of("explicit").fit(X.astype(str), y).recommend(["nobody"], 1)
    assert words.items[0, 0] is None


def test_recommendations_on_dask_are_lazy(ratings):
    X, y = ratings[["user", "item"]], ratings["rating"]
    model = model_of("explicit").fit(X, y)
    users = np.array([5, 3, 999, 5, 0])
    here, seen = model.recommend(users, 3), model.recommend(users, 3, exclude=X)
    assert_array_equal(model.recommend(users, 3, exclude=dd.from_pandas(X, npartitions=3)).items, seen.items)
    for given in (da.from_array(users, chunks=2), dd.from_pandas(pd.Series(users), npartitions=2)):
        for expected, exclude in ((here, None), (seen, X)):
            lazy = model.recommend(given, 3, exclude=exclude)
            items, values = dask.compute(*lazy)
            assert lazy.items.dtype == items.dtype
            assert_array_equal(items, expected.items)
            assert_allclose(values, expected.ratings, rtol=1e-12)  # products of fewer rows may round otherwise
    with pytest.raises(DataError, match="exclude: expected pairs in memory"):
        model.recommend(da.from_array(users, chunks=2), 3, exclude=dd.from_pandas(X, npartitions=3))


def test_searches_and_scores(ratings):
    X, y = ratings[["user", "item"]].to_numpy(), ratings["rating"].to_numpy()
    lazy = da.from_array(X, chunks=(300, 2)), da.from_array(y, chunks=300)
    for given in ((X, y), lazy):
        search = GridSearchCV(model_of("explicit"), {"regularization": [0.01, 10.0]}, cv=3).fit(*given)
        assert search.best_params_ == {"regularization": 0.01}
        scores = cross_val_score(clone(search.best_estimator_), *given, cv=3)
        assert scores.mean() == pytest.approx(search.best_score_)
    with pytest.raises(ValueError, match="implicit=True has no coefficient"):
        model_of("implicit").fit(X, y).score(X, y)


def test_it_stops_where_the_objective_does_not_fall(ratings):
    model = model_of("explicit", max_iter=50, tol=0.1).fit(ratings[["user", "item"]], ratings["rating"])
    assert 1 < model.n_iter_ == len(model.objective_) < 50


@pytest.mark.parametrize("products", [0, np.inf], ids=["compiled", "numpy"])
def test_fewer_ratings_than_factors_without_penalty(monkeypatch, products):
    monkeypatch.setattr(factor_rows, "MANY_PRODUCTS", products)
    X, y = np.array([[0, 0], [0, 1], [1, 0]]), np.array([1.0, 2.0, 3.0])
    model = ALS(5, regularization=0.0, random_state=0).fit(X, y)
    assert np.isfinite(model.user_factors_).all()
    assert_allclose(model.predict(X), y, atol=1e-6)


@pytest.mark.parametrize(
    ("X", "y", "options", "message"),
    [
        ([[0, 1, 2]], [1.0], {}, "two columns"),
        ([0, 1], [1.0, 2.0], {}, "2-dimensional"),
        (np.empty((0, 2)), [], {}, "X: expected at least one rating"),
        ([[0, 1], [1, np.nan]], [1.0, 2.0], {}, "id of items in every row, got a missing one in block 0, row 1"),
        ([[0, "a"], ["b", "c"]], [1.0, 2.0], {"dtype": object}, "ids of users of one kind"),
        ([[0, [1]], [1, [2]]], [1.0, 2.0], {"dtype": object}, "X: expected"),
        ([[0, 1], [1, 2]], [1.0, np.nan], {}, "y contains NaN in block 0, row 1"),
        ([[0, 1], [1, 2]], [1.0, np.inf], {}, "y contains infinity"),
        ([[0, 1], [1, 2]], ["a", "b"], {}, "y: expected a number"),
        ([[0, 1], [1, 2]], [[1.0, 2.0], [3.0, 4.0]], {}, "y: expected a number"),
        ([[0, 1], [1, 2]], [1.0], {}, "inconsistent numbers of samples"),
        ([[0, 1]], None, {}, "y: expected the ratings, got None"),
        ([[0, 1]], [1.0], {"n_factors": 0}, "n_factors"),
        ([[0, 1]], [1.0], {"regularization": -1}, "regularization"),
        ([[0, 1]], [1.0], {"alpha": np.nan}, "alpha"),
        ([[0, 1]], [1.0], {"implicit": "yes"}, "implicit"),
        ([[0, 1]], [1.0], {"solver": "lu"}, "solver"),
        ([[0, 1]], [1.0], {"cg_steps": 0}, "cg_steps"),
        ([[0, 1]], [1.0], {"nonnegative": "yes"}, "nonnegative"),
        ([[0, 1]], [1.0], {"nonnegative": True, "solver": "cg"}, "solver: expected 'auto' with nonnegative=True"),
        ([[0, 1]], [1.0], {"cold_start": "drop"}, "cold_start"),
        ([[0, 1]], [1.0], {"max_iter": 2.5}, "max_iter"),
        ([[0, 1]], [1.0], {"tol": -1}, "tol"),
        ([[0, 1]], [1.0], {"n_jobs": 0}, "n_jobs"),
        ([[0, 1]], [1.0], {"random_state": "x"}, "random_state"),
    ],
    ids=str,
)
def test_bad_input_is_named(X, y, options, message):
    given = np.array(X, dtype=options.pop("dtype", None))
    with pytest.raises(ValueError, match=message):
        ALS(**options).fit(given, None if y is None else np.array(y))


def test_bad_requests_are_named(ratings):
    model = model_of("explicit").fit(ratings[["user", "item"]], ratings["rating"])
    with pytest.raises(ValueError, match="k: expected at most the number of items"):
        model.recommend([0], N_ITEMS + 1)
    with pytest.raises(DataError, match="users: expected a vector"):
        model.recommend([[0]], 1)
    with pytest.raises(DataError, match="exclude: expected two columns"):
        model.recommend([0], 1, exclude=[[0, 1, 2]])
    with pytest.raises(DataError, match="X: expected two columns"):
        model.predict(np.zeros((2, 3)))


@pytest.mark.parametrize("ids", ["numbers", "strings", "times"])
def test_similar_items_and_users_are_those_of_the_largest_cosines(ratings, ids):
    users, items = (IDS[ids](n) for n in (N_USERS, N_ITEMS))
    X = pd.DataFrame({"user": np.asarray(users)[ratings["user"]], "item": np.asarray(items)[ratings["item"]]})
    model = model_of("explicit").fit(X, ratings["rating"])
    for own, factors, similar in (
        (model.items_, model.item_factors_, model.similar_items),
        (model.users_, model.user_factors_, model.similar_users),
    ):
        cosines = cosine_similarity(factors)
        np.fill_diagonal(cosines, -np.inf)
        found = similar(own[[4, 2]], 5)
        best = np.argsort(-cosines[[4, 2]], axis=1, kind="stable")[:, :5]
        assert_array_equal(found.ids, own[best])
        assert_allclose(found.similarities, np.take_along_axis(cosines[[4, 2]], best, axis=1), rtol=1e-9)


def test_similar_items_are_found_by_tiles(ratings, monkeypatch):
    model = model_of("implicit").fit(ratings[["user", "item"]], ratings["rating"])
    whole = model.similar_items(model.items_, 4)
    monkeypatch.setattr(base, "SCORES", 100)
    by_tiles = model.similar_items(model.items_, 4)
    assert_array_equal(by_tiles.ids, whole.ids)
    assert np.isnan(model.similar_items([10**6], 4).similarities).all()
    assert (model.similar_items([10**6], 4).ids == -1).all()


@pytest.mark.parametrize(
    ("wanted", "k", "message"),
    [
        ([1], N_ITEMS, f"k: expected at most the number of other items, {N_ITEMS - 1}, got {N_ITEMS}"),
        ([[1]], 2, r"items: expected a vector of ids, got shape \(1, 1\)"),
        (da.arange(3), 2, "items: expected ids in memory"),
    ],
)
def test_similar_items_refuse(ratings, wanted, k, message):
    model = model_of("explicit", max_iter=1).fit(ratings[["user", "item"]], ratings["rating"])
    with pytest.raises((ValueError, DataError), match=message):
        model.similar_items(wanted, k)
