"""A module imports only from floors below its own, so that data flows in one direction."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import daskml_kit

ROOT = Path(daskml_kit.__file__).parent
FLOORS = {
    0: ["typing", "errors", "block"],
    1: ["numerics"],
    2: ["queries"],
    3: ["solvers"],
    4: ["engines", "validation", "twin", "blockwise", "study", "example", "partition", "datasets", "parameter_server"],
    5: ["metrics", "linear_model", "neural_network", "recommendation", "preprocessing", "impute", "compose"],
    6: ["model_selection", "jobs"],
    7: ["__main__"],
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
NO_DASK_UP_TO = 3
MODULES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_from_below(path):
    room = room_of(path)
    floor = FLOOR_OF[room]
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "daskml_kit" and len(parts) > 1 and parts[1] != room:
            # estimators may stand on metrics, which are on their own floor
            same = FLOOR_OF[parts[1]] == floor and (
                floor in (0, 4) or parts[1] in ("metrics", "preprocessing", "impute")
            )
            assert FLOOR_OF[parts[1]] < floor or same, f"{room} (floor {floor}) imports {name}"
        if floor <= NO_DASK_UP_TO:
            assert parts[0] not in ("dask", "distributed"), f"{room} (floor {floor}) imports {name}"
        assert not any(part.startswith("_") and part != "__future__" for part in parts), f"{name} is private"
