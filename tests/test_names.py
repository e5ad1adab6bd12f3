"""Names: a class and a module once, docstrings that begin with the thing itself, no clash with scikit-learn's privates.

We extend scikit-learn's classes, so a private name of ours that one of theirs has too would silently replace it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import daskml_kit

ROOT = Path(daskml_kit.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
SHARED_NAMES = {"base", "__init__"}
"""Modules that every folder may have."""
QUESTIONS = {"what", "which", "who", "whose", "how", "where", "when", "whether", "why"}
FROM_METACLASSES = {"_abc_impl", "_sklearn_auto_wrap_output_keys"}
"""Attributes that Python and scikit-learn give to every class of a kind."""
OVERRIDES: dict[str, str] = {
    "_check_parameters": "called by the fit of scikit-learn's mixtures, which ours replaces",
    "_run_search": "the hook for subclasses that scikit-learn documents",
}
"""Private names of scikit-learn that we replace on purpose, with the reason."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_a_class_name_is_used_once():
    places = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(short(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_a_module_name_is_used_once():
    names = Counter(path.stem for path in MODULES if path.stem not in SHARED_NAMES)
    assert [name for name, times in names.items() if times > 1] == []


def docstrings() -> Iterator[tuple[str, str, str | None]]:
    """Give the path, the name and the docstring of every module, class and function."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, documented):
                yield short(path), getattr(node, "name", ""), ast.get_docstring(node)


def test_docstrings_begin_with_a_noun_or_a_verb():
    first_words = [(path, name, doc.split()[0]) for path, name, doc in docstrings() if doc]
    assert [found for found in first_words if found[2].strip(",.:").lower() in QUESTIONS] == []


def test_every_module_has_a_docstring():
    assert [path for path, name, doc in docstrings() if not name and not doc] == []


def our_estimators() -> list[type]:
    """Return every class of the package that extends a class of scikit-learn."""
    found = {}
    for path in MODULES:
        name = ".".join(["daskml_kit", *path.relative_to(ROOT).with_suffix("").parts])
        if path.stem in ("__init__", "__main__"):
            continue
        for kind in vars(importlib.import_module(name)).values():
            if isinstance(kind, type) and kind.__module__ == name and any(map(is_theirs, kind.__mro__)):
                found[kind.__qualname__] = kind
    return list(found.values())


def is_theirs(kind: type) -> bool:
    return kind.__module__.startswith("sklearn.")


@cache
def attributes_of(kind: type) -> dict[str, bool]:
    """Return the private names of a class, and whether it gives them a value, else it only reads them."""
    names = dict.fromkeys(vars(kind), True)
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kind)))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            names[node.attr] = names.get(node.attr, False) or isinstance(node.ctx, ast.Store)
    return {name: given for name, given in names.items() if name.startswith("_") and not name.startswith("__")}


@pytest.mark.parametrize("kind", our_estimators(), ids=lambda kind: kind.__qualname__)
def test_private_names_are_not_those_of_scikit_learn(kind):
    theirs = list(filter(is_theirs, kind.__mro__))
    clashes = [
        f"{own.__qualname__}.{name} of {other.__qualname__}"
        for own in kind.__mro__
        if own.__module__.startswith("daskml_kit.")
        for name, given in attributes_of(own).items()
        if given and name not in FROM_METACLASSES | set(OVERRIDES)
        for other in theirs
        if name in attributes_of(other)
    ]
    assert clashes == []
