"""Configuration of the documentation: ``sphinx-build -W -c docs . build/site``.

The source folder is the whole project, so that links between pages, notebooks and files are the same here and where the
repository is looked at.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import sphinx.application

import daskml_kit
from daskml_kit.base import DaskEstimator

project = "daskml_kit"
version = release = daskml_kit.__version__
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/*.ipynb", "CHANGELOG.md", "CONTRIBUTING.md", "README.md"]
exclude_patterns = ["**.ipynb_checkpoints", "build", "docs/_templates"]
extensions = ["sphinx.ext.autosummary", "numpydoc", "myst_nb"]
templates_path = [str(Path(__file__).parent / "_templates")]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are committed with their outputs, and run by the tests

autosummary_generate_overwrite = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "none"  # numpydoc's sections have the types
numpydoc_show_class_members = False  # the template of a class lists its own, without scikit-learn's

html_theme = "pydata_sphinx_theme"
html_title = f"daskml_kit {version}"
html_additional_pages = {"index": "redirect.html"}
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "collapse_navigation": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"docs/index": [], "CHANGELOG": [], "README": []}


def public_modules() -> list[str]:
    """Return the names of the modules of the package that say what is public in them."""
    names = [module.name for module in pkgutil.walk_packages(daskml_kit.__path__, "daskml_kit.")]
    return [name for name in names if hasattr(importlib.import_module(name), "__all__")]


def own_members(kind: type) -> list[str]:
    """Return the public methods and properties of a class that this package defines: scikit-learn documents its own."""
    found = []
    for member in (name for name in dir(kind) if name[0] != "_" and not name.endswith("_request")):
        owner, *others = [c for c in kind.__mro__ if member in vars(c)]
        value = vars(owner)[member]
        if owner is DaskEstimator and not inspect.isfunction(value) and not others:
            continue  # a method that is there where scikit-learn's class has it, and here it has not
        if owner.__module__.startswith("daskml_kit.") and (
            isinstance(value, property) or callable(getattr(kind, member))
        ):
            found.append(member)
    return found


def members_of_classes() -> dict[str, list[str]]:
    """Return the members of all public classes, by their full names."""
    public = [(name, module) for name in public_modules() for module in [importlib.import_module(name)]]
    found = {f"{name}.{kind}": getattr(module, kind) for name, module in public for kind in module.__all__}
    return {name: own_members(kind) for name, kind in found.items() if inspect.isclass(kind)}


autosummary_context = {"members_of_classes": members_of_classes(), "public_modules": public_modules()}


def plain_references(app: object, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Make text of references into scikit-learn's pages, which docstrings made of its own have, and of ``n_iter_``."""
    text = "\n".join(lines)
    text = re.sub(r":(?:ref|term|attr):`~?([^`<]+?)(?:\s*<[^>`]*>)?`", r"\1", text)
    text = re.sub(r":obj:`(\w+_) <[^>]*>`", r"``\1``", text)
    text = re.sub(r":doi:`(?:[^`<]*<)?([^`>]+)>?`", r"https://doi.org/\1", text)
    text = re.sub(r"(?<=[( ])(\w+_)(?=[,)])", r"``\1``", text)
    lines[:] = text.split("\n")


def setup(app: sphinx.application.Sphinx) -> None:
    """Connect what comes after numpydoc."""
    app.connect("autodoc-process-docstring", plain_references, priority=600)
