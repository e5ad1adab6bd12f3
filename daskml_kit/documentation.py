"""Docstrings that leave parts to others: to the classes that a class extends, or to another function."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
ORDER = ("Parameters", "Returns", "Yields", "Raises", "Attributes", "See Also", "Notes", "References", "Examples")
"""Titles in the order of numpydoc."""
Documented = TypeVar("Documented", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type[Any])


def with_inherited_docs(kind: Class) -> Class:
    """Complete the docstring of a class by the parameters and attributes that those which it extends tell of.

    Examples
    --------
    >>> class Base:
    ...     '''Base.
    ...
    ...     Parameters
    ...     ----------
    ...     alpha : float
    ...         Strength.
    ...     '''
    >>> Base.__module__ = "daskml_kit.here"
    >>> @with_inherited_docs
    ... class Own(Base):
    ...     '''Own.
    ...
    ...     Parameters
    ...     ----------
    ...     tol : float
    ...     '''
    ...     def __init__(self, alpha, tol): ...
    >>> Own.__doc__.splitlines()[4:]
    ['alpha : float', '    Strength.', 'tol : float']
    """
    bases = [base for base in kind.__mro__[1:] if base.__module__.startswith("daskml_kit.")]
    kind.__doc__ = completed(kind, bases, ("Parameters", "Attributes"))
    return kind


def documented_like(*others: Callable[..., Any]) -> Callable[[Documented], Documented]:
    """Return a decorator of a function that completes its docstring by those of others, for what it has like them."""

    def decorate(function: Documented) -> Documented:
        function.__doc__ = completed(function, others, ("Parameters", "Returns", "Raises"))
        return function

    return decorate


def completed(own: Callable[..., Any], others: Sequence[Any], titles: Collection[str]) -> str:
    """Return the docstring of a class or function; of others it has the entries that it lacks in some sections."""
    head, sections = sections_of(own)
    known = [sections_of(other)[1] for other in others]
    names = list(inspect.signature(own).parameters)
    for title in titles:
        found = {name: text for other in known[::-1] for name, text in entries_of(other.get(title, "")).items()}
        if title == "Parameters":
            found = {name: text for name, text in found.items() if name in names} | entries_of(sections.get(title, ""))
            found = {name: found[name] for name in sorted(found, key=names.index)}
        elif title == "Returns" and title in sections:
            continue
        else:
            found |= entries_of(sections.get(title, ""))
        if found:
            sections[title] = "\n".join(found.values())
    return joined_sections(head, {title: sections[title] for title in sorted(sections, key=ORDER.index)})


def sections_of(documented: Any) -> tuple[str, dict[str, str]]:
    """Return what comes before the first section of a docstring, and the sections by their titles."""
    head, *rest = SECTION.split(inspect.cleandoc(documented.__doc__ or ""))
    return head.rstrip(), dict(zip(rest[::2], map(str.strip, rest[1::2]), strict=True))


def entries_of(section: str) -> dict[str, str]:
    """Return the entries of a section by their names, of several names by the first."""
    entries = re.split(r"\n+(?=\S)", section) if section else []
    return {re.split(r"[,:]", entry)[0].strip(" *\n"): entry for entry in entries}


def joined_sections(head: str, sections: Mapping[str, str]) -> str:
    """Return a docstring."""
    return "\n\n".join([head, *(f"{title}\n{'-' * len(title)}\n{text}" for title, text in sections.items())]) + "\n"
