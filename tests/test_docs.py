"""Docs: numpydoc docstrings of every public object, and code blocks of pages that run."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import textwrap
import tomllib
from pathlib import Path
from typing import Any, Protocol

import dask.array as da
import numpy as np
import pytest
import sklearn.neighbors
from numpydoc.validate import validate

import daskml_kit
from daskml_kit.engines.engine import watching
from daskml_kit.linear_model import LogisticRegression
from daskml_kit.model_selection import GridSearchCV

ROOT = Path(__file__).parents[1]
CHECKS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["numpydoc_validation"]["checks"]


def public_objects() -> dict[str, Any]:
    """Return everything in the ``__all__`` of a public package, and its own public methods and properties, by name."""
    found: dict[str, Any] = {}
    for module in pkgutil.walk_packages(daskml_kit.__path__, "daskml_kit."):
        if not module.ispkg:
            continue
        package = importlib.import_module(module.name)
        documented = {name: getattr(package, name) for name in getattr(package, "__all__", ())}
        found |= {f"{module.name}.{name}": value for name, value in documented.items() if is_documented(value)}
    for name, value in list(found.items()):
        if inspect.isclass(value):
            found |= {f"{name}.{member}": method for member, method in own_members(value).items()}
    return found


def is_documented(value: Any) -> bool:
    """Return whether an object can have a docstring with parameters: type aliases and protocols cannot."""
    return inspect.isfunction(value) or (inspect.isclass(value) and Protocol not in value.__bases__)


def own_members(kind: type) -> dict[str, Any]:
    """Return the public methods and properties of a class that this package defines."""
    found = {}
    for name in dir(kind):
        owner = next((c for c in kind.__mro__ if name in vars(c)), None)
        if name.startswith("_") or owner is None or not owner.__module__.startswith("daskml_kit."):
            continue
        value = inspect.getattr_static(kind, name)
        if isinstance(value, property) or callable(getattr(kind, name)):
            found[name] = value
    return found


PUBLIC = public_objects()
PACKAGES = sorted({".".join(name.split(".")[:2]) for name in PUBLIC})


@pytest.mark.parametrize("package", PACKAGES)
def test_public_objects_are_documented(package):
    faults = [
        f"{name}: {code} {text}"
        for name in PUBLIC
        if name.startswith(f"{package}.")
        for code, text in validate(name)["errors"]
        if code in CHECKS
    ]
    assert not faults, "\n".join(faults)


def code_blocks(page: str) -> list[str]:
    """Return the Python blocks of a page, one after another."""
    blocks = re.findall(r"^( *)```python\n(.*?)^\1```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in blocks]


@pytest.fixture(scope="module")
def contributed() -> dict[str, Any]:
    """The names that the code blocks of CONTRIBUTING leave behind."""
    names: dict[str, Any] = {"__name__": "contributed"}
    for block in code_blocks("CONTRIBUTING.md"):
        exec(block, names)
    return names


def test_the_estimator_of_contributing_agrees_with_scikit_learn(contributed):
    X, y = contributed["X"], contributed["y"]
    ours = contributed["NearestCentroid"](priors="empirical").fit(X, y)
    theirs = sklearn.neighbors.NearestCentroid(priors="empirical").fit(X.compute(), y.compute())
    chances = ours.predict_proba(X)
    assert isinstance(chances, da.Array)
    np.testing.assert_allclose(chances.compute(), theirs.predict_proba(X.compute()), atol=1e-12)


def test_the_estimator_of_contributing_shares_passes(contributed):
    assert "2 candidates share passes" in str(contributed["search"].plan_)


@pytest.mark.slow
def test_the_code_of_readme_runs(capsys):
    names: dict[str, Any] = {"__name__": "readme"}
    for block in code_blocks("README.md"):
        exec(block, names)
    assert 0.6 < float(capsys.readouterr().out.split()[0]) < 0.7


@pytest.mark.slow
def test_fits_take_as_few_passes_as_readme_says():
    draw = np.random.default_rng(0)
    X = draw.normal(size=(200_000, 28)) @ draw.normal(size=(28, 28))
    y = (X[:, 0] + 3 * draw.logistic(size=len(X)) > 0).astype(int)
    assert LogisticRegression().fit(X, y).profile_.passes <= 4
    passes = []
    with watching(lambda profile: passes.append(profile.passes)):
        GridSearchCV(LogisticRegression(), {"C": np.logspace(-3, 1, 10)}, cv=5, scoring="neg_log_loss").fit(X, y)
    assert max(passes) <= 7


@pytest.mark.slow
def test_the_code_of_the_guide_runs(capsys):
    names: dict[str, Any] = {"__name__": "guide"}
    for block in code_blocks("docs/guide.md"):
        exec(block, names)
    printed = capsys.readouterr().out
    assert "10 candidates share passes" in printed
    assert "[<Job nightly: finished>]" in printed
    assert names["trained"].history.epochs[-1].loss < np.log(2) / 2


PAGES = sorted(str(page.relative_to(ROOT)) for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_are_there(page):
    text = (ROOT / page).read_text()
    named = re.findall(r"`((?:[\w.]+/)*[\w.]+(?:\.py|\.md|/))`", text) + re.findall(r"\]\(([^)#:]+)\)", text)
    places = [ROOT, (ROOT / page).parent, ROOT / "daskml_kit"]
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


@pytest.mark.parametrize("page", ["docs/from_dask_ml.md", "docs/from_spark.md"])
def test_names_that_tables_map_to_are_there(page):
    rows = re.findall(r"^\|[^|]+\|([^|]+)\|", (ROOT / page).read_text(), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([a-z_]+\.\w+)`", row) if not name.startswith("sklearn.")]
    assert len(named) > 10
    for module, name in (name.split(".") for name in named):
        if module != "joblib":
            assert hasattr(importlib.import_module(f"daskml_kit.{module}"), name), f"{module}.{name}"
