"""scikit-learn's docstring examples, which give the same output with names of ours in place of its own."""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import io
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

MODULES = (
    "compose",
    "feature_extraction",
    "feature_extraction.text",
    "feature_selection",
    "impute",
    "metrics",
    "metrics.pairwise",
    "pipeline",
    "preprocessing",
)
DIFFERENT = {
    "feature_selection.SelectFromModel": "scikit-learn's LogisticRegression stops 1e-4 before the minimum",
    "metrics.check_scoring": "it prints a traceback, which has the names of files",
}
"""Examples whose output differs, by the names of their objects, and the reasons."""
PLACE = re.compile(r"<[\w.]+\.(\w+) object at \w+>")
NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")


def ours_in(module):
    """Return our module of a scikit-learn name, None where there is none, or where it makes other data."""
    if module == "sklearn.datasets":
        return None
    with contextlib.suppress(ImportError):
        return importlib.import_module(module.replace("sklearn", "daskml_kit", 1))


def examples():
    """Yield each name with examples that scikit-learn and we have, and the sources of these."""
    for name in MODULES:
        theirs = importlib.import_module(f"sklearn.{name}")
        for public in sorted(getattr(theirs, "__all__", [])):
            found = getattr(theirs, public)
            if hasattr(ours_in(f"sklearn.{name}"), public) and (doc := getattr(found, "__doc__", None)):
                parts = [example.source for example in doctest.DocTestParser().get_examples(doc)]
                if parts:
                    yield pytest.param(parts, id=f"{name}.{public}")


def swapped(source):
    """Return the source with imports of what we have from our package."""
    tree = ast.parse(source)
    body = []
    for node in tree.body:
        mine = ours_in(node.module) if isinstance(node, ast.ImportFrom) and "sklearn" in (node.module or "") else None
        own = [alias for alias in node.names if hasattr(mine, alias.name)] if mine else []
        if own:
            body.append(ast.ImportFrom(node.module.replace("sklearn", "daskml_kit", 1), own, 0))
            node.names = [alias for alias in node.names if alias not in own]
        if not isinstance(node, ast.ImportFrom) or node.names:
            body.append(node)
    return ast.unparse(ast.Module(body, []))


def outputs(sources):
    """Return what each source prints, or the error that it ends in."""
    names: dict[str, object] = {}
    found = []
    for source in sources:
        stream = io.StringIO()
        try:
            with contextlib.redirect_stdout(stream):
                for statement in ast.parse(source).body:
                    exec(compile(ast.Interactive([statement]), "example", "single"), names)
            found.append(stream.getvalue())
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
    return found


def assert_alike(ours, theirs):
    ours, theirs = (PLACE.sub(r"\1", text) for text in (ours, theirs))
    if ours != theirs:  # text alike, but for rounding
        assert NUMBER.sub("#", ours).split() == NUMBER.sub("#", theirs).split()
        numbers = [np.array(NUMBER.findall(text), float) for text in (ours, theirs)]
        np.testing.assert_allclose(*numbers, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("sources", list(examples()))
def test_outputs_are_the_same(sources, request):
    if request.node.callspec.id in DIFFERENT:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = outputs(sources)
        for ours, theirs in zip(outputs([swapped(source) for source in sources]), expected, strict=True):
            assert_alike(ours, theirs)


def test_python_may_leave_docstrings_out():
    subprocess.run([sys.executable, "-OO", "-c", "import daskml_kit.metrics, daskml_kit.metrics.pairwise"], check=True)
