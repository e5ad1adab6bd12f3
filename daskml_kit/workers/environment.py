"""Environment of workers: functions called there outside of tasks, and a check that they have what the client has."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from distributed import Client
from distributed.versions import get_versions

from daskml_kit.exceptions import MissingModuleError
from daskml_kit.workers.hedging import silent_workers

ANSWER_SECONDS = 10.0
"""What is called on workers outside of tasks takes far less."""
PACKAGE = "daskml_kit"
COMPARED = {"python": 2, "scikit-learn": 2, "numpy": 1}
"""Numbers of the version that have to be the same, beside the whole version of this package: pickles go both ways."""
MOST_NAMED = 3

_checked: WeakKeyDictionary[Client, set[str]] = WeakKeyDictionary()


def run_on_workers(
    client: Client, function: Callable[..., Any], *args: Any, workers: Collection[str] = ()
) -> dict[str, Any]:
    """Call a function on all workers, or some, outside of tasks; return what those that answer return, by worker.

    Workers that are silent, or do not answer within `ANSWER_SECONDS`, carry it out when they are back.
    """
    silent = silent_workers(client)
    called = set(workers or client.nthreads())
    results: dict[str, Any] = {}
    for group, seconds in ((called.intersection(silent), 0.0), (called.difference(silent), ANSWER_SECONDS)):
        if group:
            running = client.run(function, *args, workers=list(group), on_error="ignore", asynchronous=True)
            with suppress(TimeoutError, OSError):  # where the cluster is gone, there is nobody to call
                results |= asyncio.run_coroutine_threadsafe(running, client.loop.asyncio_loop).result(seconds)
    return results


def require_environment(client: Client, workers: Collection[str]) -> None:
    """Raise where a worker lacks this package, or has another version of what is pickled; each is asked once.

    Raises
    ------
    MissingModuleError
        Names the workers, the package and the versions.
    """
    checked = _checked.setdefault(client, set())
    if not (new := set(workers) - checked):
        return
    # What is called is found by its name there: code of this package, or of another Python, might not be read. Nothing
    # is imported: that takes seconds, in which a worker would be taken for silent.
    specs = run_on_workers(client, importlib.util.find_spec, PACKAGE, workers=new)
    versions = run_on_workers(client, get_versions, (PACKAGE, *COMPARED), workers=new)
    here = compared(get_versions((PACKAGE, *COMPARED)))
    faults: list[str] = []
    for worker in sorted(versions):  # of others no answer came
        lacking = worker in specs and specs[worker] is None  # some specs, as of a zip file, cannot be sent
        fault = f"lacks {PACKAGE}" if lacking else difference(here, compared(versions[worker]))
        if fault:
            faults.append(f"worker {worker} {fault}")
        else:
            checked.add(worker)
    if faults:
        more = f"; and {len(faults) - MOST_NAMED} workers more" if len(faults) > MOST_NAMED else ""
        raise MissingModuleError(
            f"{'; '.join(faults[:MOST_NAMED])}{more}: install what this process has into the workers' "
            f"environment, by the `pip install` that was used here ({PACKAGE} {here[PACKAGE]}), and start them anew",
            name=PACKAGE,
        )


def compared(versions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the versions that are compared, by package, of what `distributed.versions.get_versions` gives."""
    found = {"python": versions["host"]["python"], **versions["packages"]}
    return {name: found[name] for name in (PACKAGE, *COMPARED)}


def difference(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """Return what a worker's environment differs in, as the end of a sentence; "" where it does for.

    Examples
    --------
    >>> client = {"daskml_kit": "0.2.0", "python": "3.12.1", "scikit-learn": "1.8.0", "numpy": "2.1.0"}
    >>> difference(client, {**client, "python": "3.12.4", "numpy": "2.3.0"})
    ''
    >>> difference(client, {**client, "scikit-learn": "1.9.0", "daskml_kit": "0.1.0"})
    'has daskml_kit 0.1.0, not 0.2.0, and scikit-learn 1.9.0, not 1.8.0'
    """
    differing = [
        f"{name} {version}, not {here[name]}"
        for name, version in there.items()
        if None not in (version, here[name]) and _leading(name, version) != _leading(name, here[name])
    ]
    return f"has {', and '.join(differing)}" if differing else ""


def _leading(name: str, version: str) -> list[str]:
    return version.split(".")[: COMPARED.get(name)]
