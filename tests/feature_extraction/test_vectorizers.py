"""Vectorizers of documents on every kind of collection: scikit-learn's vocabulary, columns and numbers."""

from __future__ import annotations

import warnings

import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
import sklearn.compose
import sklearn.feature_extraction
import sklearn.feature_extraction.text
import sklearn.linear_model
import sklearn.model_selection
import sklearn.naive_bayes
import sklearn.pipeline
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from daskml_kit.compose import ColumnTransformer
from daskml_kit.data import collections
from daskml_kit.decomposition import TruncatedSVD
from daskml_kit.engines import open as opening
from daskml_kit.engines.engine import watching
from daskml_kit.exceptions import DataError
from daskml_kit.feature_extraction import DictVectorizer, FeatureHasher, text
from daskml_kit.linear_model import LogisticRegression, SGDClassifier, solve
from daskml_kit.model_selection import GridSearchCV
from daskml_kit.naive_bayes import MultinomialNB
from daskml_kit.numerics import term_counting

genuine = sklearn.feature_extraction.text
rng = np.random.default_rng(0)
WORDS = np.array([a + b for a in ("sal", "tor", "Min", "mé") for b in "aeiou"])
TEXTS = [" ".join(rng.choice(WORDS, size)) for size in rng.integers(2, 7, 60)]
LABELS = np.array([("sala" in words) or ("toro" in words) for words in TEXTS]).astype(int)
DICTS = [{"a": i % 3, "b": "xy"[i % 2], "c": ["p", "q"] if i % 5 else "r"} for i in range(20)]


def objects(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


COLLECTIONS = {
    "Bag": lambda values: db.from_sequence(values, npartitions=3),
    "objects": lambda values: da.from_array(objects(values), chunks=25),
    "strings": lambda values: da.from_array(np.array(values), chunks=25),
    "Series": lambda values: dd.from_pandas(pd.Series(values), npartitions=3),
    "an empty block": lambda values: da.concatenate(
        [da.from_array(objects(part), chunks=-1) for part in (values[:30], [], values[30:])]
    ),
}
SETTINGS = [
    ("CountVectorizer", {}),
    ("CountVectorizer", {"min_df": 3, "max_df": 0.3, "max_features": 7, "lowercase": False}),
    (
        "CountVectorizer",
        {"ngram_range": (1, 2), "strip_accents": "unicode", "stop_words": ["sala"], "max_features": 20},
    ),
    ("CountVectorizer", {"analyzer": "char_wb", "ngram_range": (2, 3), "binary": True, "max_features": 11}),
    ("CountVectorizer", {"vocabulary": ["toro", "sala", "none"], "dtype": np.float32}),
    ("CountVectorizer", {"tokenizer": str.split, "token_pattern": None, "min_df": 0.1}),
    ("TfidfVectorizer", {"sublinear_tf": True, "min_df": 2}),
    ("TfidfVectorizer", {"smooth_idf": False, "norm": "l1", "dtype": np.float32}),
    ("TfidfVectorizer", {"use_idf": False, "norm": None}),
    ("TfidfVectorizer", {"vocabulary": {"toro": 1, "sala": 0}}),
    ("HashingVectorizer", {"n_features": 32, "alternate_sign": False}),
    ("HashingVectorizer", {"norm": None, "binary": True, "dtype": np.float32, "n_features": 32}),
]


def assert_same(found, expected):
    assert found.dtype == expected.dtype
    blocks = found.compute()
    assert type(blocks) is type(expected)
    assert blocks.dtype == expected.dtype
    assert_allclose(
        blocks.toarray() if sp.issparse(blocks) else blocks,
        np.asarray(expected.todense()) if sp.issparse(expected) else expected,
        rtol=1e-6,
    )


@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=str)
def test_texts_of_every_kind(name, options):
    theirs = getattr(genuine, name)(**options)
    expected = theirs.fit_transform(TEXTS)
    for kind, make in COLLECTIONS.items():
        ours = getattr(text, name)(**options)
        found = ours.fit_transform(make(TEXTS))
        assert found.shape[1] == expected.shape[1], kind
        assert_same(found, expected)
        assert_same(ours.transform(make(TEXTS)), expected)
        if name != "HashingVectorizer":
            assert ours.vocabulary_ == theirs.vocabulary_, kind
            assert ours.fixed_vocabulary_ == theirs.fixed_vocabulary_
            assert_array_equal(ours.get_feature_names_out(), theirs.get_feature_names_out())
    plain = ours.to_sklearn()
    assert type(plain) is type(theirs)
    assert (plain.transform(TEXTS) != theirs.transform(TEXTS)).nnz == 0


ODD_TEXTS = [
    "One, two; THREE-four_5 a I x9\nnew line\ttab",
    "",
    "nul\0inside two \x01\x1f words",
    "Ünïcode wörds ÀÉ İstanbul ΣΑΣ １２",
    "a b c",
    " the  end ",
    "...",
    "__ _a 1 22 one ONE One",
]


@pytest.mark.parametrize("options", [{}, {"lowercase": False}, {"stop_words": ["one", "the"]}, {"binary": True}])
@pytest.mark.parametrize("tile", [1, 30, 2**22])
def test_words_of_odd_texts(monkeypatch, options, tile):
    monkeypatch.setattr(term_counting, "TILE", tile)
    texts = da.from_array(objects(ODD_TEXTS * 2), chunks=(6, 4, 6))
    for kind in ("CountVectorizer", "TfidfVectorizer"):
        expected, found = getattr(genuine, kind)(**options), getattr(text, kind)(**options)
        rows = expected.fit_transform(ODD_TEXTS * 2)
        assert_same(found.fit_transform(texts), rows)
        assert found.vocabulary_ == expected.vocabulary_
        assert_same(found.transform(texts), rows)
    options = {**options, "n_features": 8}
    expected = genuine.HashingVectorizer(**options).transform(ODD_TEXTS * 2)
    assert_same(text.HashingVectorizer(**options).transform(texts), expected)


def cut_at_a(document):
    return document.split("a")


HOOKS = {
    "build_analyzer": lambda self: cut_at_a,
    "build_tokenizer": lambda self: cut_at_a,
    "build_preprocessor": lambda self: str.upper,
    "decode": lambda self, document: f"{document} more",
    "get_stop_words": lambda self: frozenset(["salo"]),
}


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("kind", ["CountVectorizer", "TfidfVectorizer", "HashingVectorizer"])
def test_subclasses_take_texts_apart_in_their_own_way(kind, hook):
    theirs, ours = (type("Own", (getattr(module, kind),), {hook: HOOKS[hook]}) for module in (genuine, text))
    options = {"n_features": 32} if kind == "HashingVectorizer" else {}
    expected, found = theirs(**options), ours(**options)
    rows = expected.fit_transform(TEXTS)
    for make in (COLLECTIONS["Bag"], COLLECTIONS["Series"]):
        assert_same(found.fit_transform(make(TEXTS)), rows)
        assert_same(found.fit(make(TEXTS)).transform(make(TEXTS)), rows)
    assert getattr(found, "vocabulary_", None) == getattr(expected, "vocabulary_", None)
    assert_allclose(found.to_sklearn().transform(TEXTS).toarray(), rows.toarray())


@pytest.mark.parametrize(
    "options",
    [{"vocabulary": ["SAL"]}, {"vocabulary": ["SAL"], "lowercase": False}, {"preprocessor": str.upper}],
    ids=str,
)
def test_upper_case_warns_once_and_only_in_a_vocabulary_that_is_given(options):
    told = []
    for module, texts in ((genuine, TEXTS), (text, COLLECTIONS["Bag"](TEXTS))):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            module.CountVectorizer(**options).fit(texts).transform(texts)
        told.append([str(warning.message) for warning in caught])
    assert told[0] == told[1]


def test_texts_in_memory_are_scikit_learns():
    expected = genuine.TfidfVectorizer().fit_transform(TEXTS)
    for texts in (
        TEXTS,
        pd.Series(TEXTS, dtype="string"),
        pd.Series(TEXTS, dtype=pd.ArrowDtype(pa.string())),
        pa.array(TEXTS),
    ):
        for found in (text.TfidfVectorizer().fit(texts).transform(texts), text.TfidfVectorizer().fit_transform(texts)):
            assert_allclose(found.toarray(), expected.toarray())


def test_results_are_lazy_and_keep_their_sizes():
    made = []

    def counted(part):
        made.append(len(part))
        return part

    known = da.from_array(objects(TEXTS), chunks=25).map_blocks(counted, dtype=object, meta=np.empty(0, object))
    model = text.CountVectorizer()
    passes = []
    with watching(lambda profile: passes.append(profile.passes)):
        found = model.fit_transform(known)
    assert passes == [1]
    assert found.chunks[0] == (25, 25, 10)
    assert sum(made) == len(TEXTS)  # each is taken apart once
    found.compute()
    assert sum(made) == len(TEXTS)
    assert model.transform(known).chunks[0] == (25, 25, 10)
    assert sum(made) == len(TEXTS)
    assert np.isnan(model.transform(COLLECTIONS["Bag"](TEXTS)).chunks[0]).all()


def test_texts_larger_than_memory_are_taken_apart_again(monkeypatch):
    monkeypatch.setattr(collections, "FIT_FRACTION", 0)
    expected = genuine.TfidfVectorizer().fit_transform(TEXTS)
    assert_same(text.TfidfVectorizer().fit_transform(COLLECTIONS["Bag"](TEXTS)), expected)


@pytest.mark.parametrize("fraction", [0.5, 0], ids=["held", "streamed"])
def test_texts_on_a_cluster(client, monkeypatch, fraction):
    monkeypatch.setattr(collections, "FIT_FRACTION", fraction)
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    texts, labels = COLLECTIONS["Bag"](TEXTS), da.from_array(LABELS, chunks=20)
    model = make_pipeline(text.TfidfVectorizer(), LogisticRegression()).fit(texts, labels)
    expected = genuine.TfidfVectorizer().fit(TEXTS)
    assert model[0].vocabulary_ == expected.vocabulary_
    assert_array_equal(model[0].idf_, expected.idf_)
    again = make_pipeline(text.TfidfVectorizer(), LogisticRegression()).fit(client.persist(texts), labels)
    assert_array_equal(again[1].coef_, model[1].coef_)


@pytest.mark.parametrize("kind", ["Bag", "Series"])
def test_into_models_and_searches(kind):
    texts, labels = COLLECTIONS[kind](TEXTS), da.from_array(LABELS, chunks=20)
    pairs = [
        (
            make_pipeline(text.TfidfVectorizer(), LogisticRegression()),
            make_pipeline(genuine.TfidfVectorizer(), sklearn.linear_model.LogisticRegression(tol=1e-9)),
        ),
        (
            make_pipeline(text.CountVectorizer(), MultinomialNB()),
            make_pipeline(genuine.CountVectorizer(), sklearn.naive_bayes.MultinomialNB()),
        ),
    ]
    for ours, theirs in pairs:
        ours.fit(texts, labels), theirs.fit(TEXTS, LABELS)
        assert_allclose(ours.predict_proba(texts).compute(), theirs.predict_proba(TEXTS), atol=1e-5)
        assert ours.score(texts, labels) == theirs.score(TEXTS, LABELS)
    ours, theirs = pairs[0]
    grid = {"tfidfvectorizer__min_df": [1, 5]}
    cv = sklearn.model_selection.KFold(2)
    found = GridSearchCV(clone(ours), grid, cv=cv).fit(texts, labels)
    expected = sklearn.model_selection.GridSearchCV(theirs, grid, cv=cv).fit(TEXTS, LABELS)
    assert_allclose(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert found.score(texts, labels) == expected.score(TEXTS, LABELS)


def test_other_models_and_columns_of_a_frame():
    texts, labels = COLLECTIONS["Series"](TEXTS), da.from_array(LABELS, chunks=20)
    sgd = make_pipeline(text.HashingVectorizer(n_features=64), SGDClassifier(random_state=0)).fit(texts, labels)
    assert sgd.predict(texts).compute().shape == (60,)
    assert make_pipeline(text.TfidfVectorizer(), TruncatedSVD(3)).fit_transform(texts).compute().shape == (60, 3)
    frame = pd.DataFrame({"n": np.arange(60.0), "text": TEXTS})
    columns = [("t", text.TfidfVectorizer(), "text"), ("h", text.HashingVectorizer(n_features=8), "text")]
    ours = ColumnTransformer(columns, remainder="passthrough")
    theirs = sklearn.compose.ColumnTransformer(
        [("t", genuine.TfidfVectorizer(), "text"), ("h", genuine.HashingVectorizer(n_features=8), "text")],
        remainder="passthrough",
    )
    assert_same(ours.fit_transform(dd.from_pandas(frame, npartitions=3)), theirs.fit_transform(frame))


@pytest.mark.parametrize(
    "options", [{}, {"use_idf": False}, {"smooth_idf": False, "sublinear_tf": True, "norm": "l1"}], ids=str
)
def test_weights_of_counts(options):
    counts = genuine.CountVectorizer(dtype=np.float32).fit_transform(TEXTS)
    theirs = genuine.TfidfTransformer(**options)
    expected = theirs.fit_transform(counts)
    dense = da.from_array(counts.toarray(), chunks=(25, 4))
    for data in (dense.rechunk({1: -1}).map_blocks(sp.csr_matrix, meta=sp.csr_matrix((0, 0), dtype=np.float32)), dense):
        ours = text.TfidfTransformer(**options)
        assert_same(ours.fit_transform(data), expected)
        if options.get("use_idf", True):
            assert_array_equal(ours.idf_, theirs.idf_)
            assert ours.idf_.dtype == theirs.idf_.dtype


@pytest.mark.parametrize(
    "options", [{}, {"sort": False}, {"sparse": False}, {"separator": ":", "dtype": np.float32}], ids=str
)
def test_dictionaries(options):
    theirs = sklearn.feature_extraction.DictVectorizer(**options)
    expected = theirs.fit_transform(DICTS)
    for kind in ("Bag", "objects"):
        ours = DictVectorizer(**options)
        found = ours.fit_transform(COLLECTIONS[kind](DICTS))
        assert_same(found, expected)
        assert ours.feature_names_ == theirs.feature_names_
        assert ours.inverse_transform(found).compute(scheduler="threads") == theirs.inverse_transform(expected)


def test_hashes():
    for rows, kind in ((DICTS, "dict"), ([["a", "b"], ["c"]] * 9, "string"), ([[("a", 2)], [("b", 1)]] * 9, "pair")):
        plain = [{k: v for k, v in row.items() if k != "c"} for row in rows] if kind == "dict" else rows
        ours = FeatureHasher(16, input_type=kind, dtype=np.float32)
        expected = ours.to_sklearn().transform(plain)
        assert_same(ours.fit().transform(db.from_sequence(plain, npartitions=3)), expected)


def test_the_examples_of_scikit_learns_pages():
    corpus = [
        "This is the first document.",
        "This document is the second document.",
        "And this is the third one.",
        "Is this the first document?",
    ]
    given = db.from_sequence(corpus, npartitions=2)
    vectorizer = text.CountVectorizer()
    assert vectorizer.fit_transform(given).compute().toarray().tolist() == [
        [0, 1, 1, 1, 0, 0, 1, 0, 1],
        [0, 2, 0, 1, 0, 1, 1, 0, 1],
        [1, 0, 0, 1, 1, 0, 1, 1, 1],
        [0, 1, 1, 1, 0, 0, 1, 0, 1],
    ]
    names = ["and", "document", "first", "is", "one", "second", "the", "third", "this"]
    assert vectorizer.get_feature_names_out().tolist() == names
    pairs = text.CountVectorizer(analyzer="word", ngram_range=(2, 2)).fit(given)
    assert pairs.get_feature_names_out()[:4].tolist() == ["and this", "document is", "first document", "is the"]
    assert text.TfidfVectorizer().fit(given).get_feature_names_out().tolist() == names
    assert text.HashingVectorizer(n_features=2**4).fit_transform(given).shape[1] == 16
    vocabulary = ["this", "document", "first", "is", "second", "the", "and", "one"]
    weighed = make_pipeline(text.CountVectorizer(vocabulary=vocabulary), text.TfidfTransformer()).fit(given)
    expected = [1.0, 1.22314355, 1.51082562, 1.0, 1.91629073, 1.0, 1.91629073, 1.91629073]
    assert_allclose(weighed[-1].idf_, expected)
    rows = db.from_sequence([{"foo": 1, "bar": 2}, {"foo": 3, "baz": 1}], npartitions=2)
    assert DictVectorizer(sparse=False).fit_transform(rows).compute().tolist() == [[2.0, 0.0, 1.0], [0.0, 1.0, 3.0]]
    rows = db.from_sequence([{"dog": 1, "cat": 2, "elephant": 4}, {"dog": 2, "run": 5}], npartitions=2)
    assert FeatureHasher(n_features=10).transform(rows).compute().toarray().tolist() == [
        [0.0, 0.0, -4.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0],
        [0.0, 0.0, 0.0, -2.0, -5.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ]


def of(*values):
    return da.from_array(objects(values), chunks=2)


BAD = {
    "a missing text": (
        lambda: text.CountVectorizer().fit(of("aa", "bb", None)),
        "raw_documents: .* None in row 0 .*block 1",
    ),
    "a text that is NaN": (
        lambda: text.TfidfVectorizer().fit_transform(of("aa", "bb", "cc", np.nan)),
        "nan in row 1 .*block 1",
    ),
    "a number": (
        lambda: text.CountVectorizer().fit(of("aa", "bb", 7)),
        "raw_documents: found a document .*'int'.*block 1",
    ),
    "a number, later": (
        lambda: text.HashingVectorizer().transform(of("aa", "bb", 7)).compute(),
        "X: found a document of another kind.*block 1",
    ),
    "columns": (lambda: text.CountVectorizer().fit(da.ones((3, 2))), "raw_documents: .*one dimension.*2 dimensions"),
    "no terms": (lambda: text.CountVectorizer().fit(of("a", "b")), "empty vocabulary"),
    "no terms left": (lambda: text.CountVectorizer(min_df=2).fit(of("aa", "bb")), "After pruning, no terms remain"),
    "limits": (lambda: text.CountVectorizer(min_df=3, max_df=1).fit(of("aa")), "max_df corresponds to < documents"),
    "a parameter": (lambda: text.CountVectorizer(min_df="x").fit(of("aa")), "'min_df' parameter"),
    "a norm": (lambda: text.TfidfVectorizer(norm="l7").fit(of("aa")), "'norm' parameter"),
    "columns of hashes": (lambda: text.HashingVectorizer(n_features=0).transform(of("aa")), "'n_features' parameter"),
    "not fitted": (lambda: text.TfidfVectorizer().transform(of("aa")), "not fitted yet"),
    "no dictionary": (lambda: DictVectorizer().fit(of("aa")), "X: found a document of another kind.*'items'"),
    "one text": (lambda: text.CountVectorizer().fit("aa"), "string object received"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named(name):
    run, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        run()


def test_a_failed_fit_changes_nothing():
    model = text.TfidfVectorizer().fit(of("aa", "bb"))
    with pytest.raises(DataError):
        model.fit(of("cc", None))
    assert model.vocabulary_ == {"aa": 0, "bb": 1}


def test_fits_of_a_search_on_few_wide_rows_are_in_their_span_as_single_ones_are(monkeypatch):
    draw = np.random.default_rng(0)
    texts = [" ".join(f"word{at}" for at in draw.integers(0, 3_000, 6)) for _ in range(300)]
    used = []
    inner = solve._minimize_in_row_space
    monkeypatch.setattr(solve, "_minimize_in_row_space", lambda *given: used.append(given) or inner(*given))
    model = make_pipeline(text.HashingVectorizer(n_features=2**14), LogisticRegression())
    grid = {"logisticregression__C": [0.1, 1.0]}
    GridSearchCV(model, grid, cv=2, refit=False).fit(db.from_sequence(texts, npartitions=2), np.arange(300) % 2)
    assert len(used) == 4
