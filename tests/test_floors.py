"""A module imports only from floors below its own, so that data flows in one direction."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import daskml_kit

ROOT = Path(daskml_kit.__file__).parent
FLOORS: dict[str, list[list[str]]] = {
    "": [
        ["typing", "exceptions", "activity", "documentation", "progress_bar", "representation"],
        ["files"],
        ["data/coded"],
        ["data/block", "arguments"],
        ["numerics"],
        ["reductions"],
        ["solvers", "optim"],
        ["data"],
        ["workers"],
        ["engines"],
        ["validation", "blockwise", "partition", "datasets", "interchange", "parameter_server"],
        ["metrics"],
        ["base", "stat"],
        ["composition"],
        ["preprocessing", "feature_extraction"],
        ["linear_model", "neural_network", "recommendation"],
        ["covariance"],
        [
            *["cluster", "compose", "decomposition", "discriminant_analysis", "impute", "isotonic"],
            *["kernel_approximation", "mixture", "naive_bayes", "neighbors", "pipeline"],
        ],
        ["model_selection"],
        ["wrappers", "feature_selection"],
        ["ensemble"],
        ["dashboard"],
        ["cli"],
        ["__main__"],
    ],
    "engines": [
        *[["runtime"], ["block_cache", "relocation"], ["engine"], ["shard_task"], ["cluster", "checkpoint"]],
        *[["open"], ["chain"]],
    ],
    "workers": [["worker_pool", "hedging"], ["environment"], ["connection"], ["cluster_pool"]],
    "parameter_server": [
        ["protocol"],
        ["layout"],
        ["state_machine"],
        ["replica", "snapshots"],
        ["rpc", "retirement"],
        ["client", "failover"],
        ["server"],
        ["training"],
        ["torch"],
    ],
    "parameter_server/training": [
        ["config", "minibatches"],
        ["updates"],
        ["worker_loop"],
        ["history"],
        ["reached"],
        ["coordinator"],
        ["train"],
    ],
    "model_selection": [["splits"], ["search"], ["adaptive", "job_task"], ["jobs"]],
    "model_selection/splits": [
        ["folds"],
        ["base"],
        ["stratify"],
        ["k_fold", "group_k_fold"],
        ["shuffle_split"],
    ],
    "model_selection/search": [
        ["pipelines", "cv_results", "pipeline_cache"],
        ["scoring"],
        ["search_plan"],
        ["fold", "progress"],
        ["fit_and_score", "fused_scores"],
        ["slivers"],
        ["fused", "task_pool"],
        ["dispatcher", "common_rows"],
        ["task_search"],
        ["evaluate", "best_estimator"],
        ["cross_validation"],
        ["grid"],
        ["cross_val_predict", "curves"],
    ],
    "model_selection/adaptive": [
        ["policies"],
        ["partial_fit"],
        ["holdout"],
        ["model_pool"],
        ["base"],
        ["incremental", "hyperband"],
    ],
}
"""The floors of the package and of some of its folders, from the ground up."""
NO_DASK_UP_TO = "solvers"
MODULES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


@cache
def floor_of(folder: str, room: str) -> int:
    """Return the floor of a room of a folder, counted from the ground."""
    floors = [number for number, rooms in enumerate(FLOORS[folder]) if room in rooms]
    assert floors, f"{room}: not on a floor of {folder or 'the package'}; write in FLOORS where it belongs"
    return floors[0]


def room_in(folder: str, place: str) -> str:
    """Return the room of a folder that a module or package is in, by its path."""
    inside = place.removeprefix(f"{folder}/") if folder else place
    return inside if inside in ("data/block", "data/coded") else inside.partition("/")[0]


@cache
def imported(path: Path) -> set[str]:
    """Return the names of the modules that a module imports."""
    return names_in(ast.parse(path.read_text()))


def names_in(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            names.add(node.module or "")
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def imported_for_types(path: Path) -> set[str]:
    """Return the names of the modules that a module imports under ``if TYPE_CHECKING``."""
    tests = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.If)]
    return {name for node in tests if ast.unparse(node.test) == "TYPE_CHECKING" for name in names_in(node)}


def places(names: set[str]) -> list[str]:
    """Return the paths of modules of the package, by their names."""
    return sorted(name.partition(".")[2].replace(".", "/") for name in names if name.startswith("daskml_kit."))


def place_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix()


@pytest.mark.parametrize("folder", FLOORS, ids=lambda folder: folder or "package")
def test_modules_import_only_from_floors_below(folder):
    for path in MODULES:
        place = place_of(path)
        if not place.startswith(f"{folder}/" if folder else ""):
            continue
        room = room_in(folder, place)
        if room == "__init__":
            continue
        floor = floor_of(folder, room)
        for other_place in places(imported(path)):
            if folder and not other_place.startswith(f"{folder}/"):
                continue
            other = room_in(folder, other_place)
            assert other == room or floor_of(folder, other) < floor, f"{place} (floor {floor}) imports {other_place}"


def test_no_circles():
    """Modules of one room may import each other, in one direction."""
    modules = [path for path in MODULES if path.stem != "__init__"]
    below = {place_of(path): set(places(imported(path) - imported_for_types(path))) for path in modules}
    while below:
        ready = {place for place, others in below.items() if not others & set(below)}
        assert ready, f"imports go round in a circle among {sorted(below)}"
        below = {place: others for place, others in below.items() if place not in ready}


def test_numbers_know_nothing_of_dask():
    highest = floor_of("", NO_DASK_UP_TO)
    for path in MODULES:
        if floor_of("", room_in("", place_of(path))) <= highest:
            roots = {name.partition(".")[0] for name in imported(path)}
            assert not roots & {"dask", "distributed"}, f"{path} imports Dask"


def test_only_public_modules_are_imported():
    for path in MODULES:
        parts = [part for name in imported(path) for part in name.split(".")]
        private = [part for part in parts if part.startswith("_") and part != "__future__"]
        assert not private, f"{path} imports of {private}"
