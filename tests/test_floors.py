"""A module imports only from floors below its own, so that data flows in one direction."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import daskml_kit

ROOT = Path(daskml_kit.__file__).parent
FLOORS = {
    0: ["typing", "exceptions"],
    1: ["data/block"],
    2: ["numerics"],
    3: ["reductions"],
    4: ["solvers", "optim"],
    5: ["data"],
    6: ["engines"],
    7: ["validation", "blockwise", "partition", "datasets", "parameter_server"],
    8: ["metrics"],
    9: ["base"],
    10: ["composition"],
    11: ["preprocessing", "impute"],
    12: ["compose", "linear_model", "neural_network", "recommendation"],
    13: ["cluster", "decomposition", "naive_bayes"],
    14: ["model_selection"],
    15: ["cli"],
    16: ["__main__"],
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
NO_DASK_UP_TO = 4
MODULES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def room_of(name: str) -> str:
    """Return the room of a module, by its name without the package's."""
    return "data/block" if name == "data.block" else name.partition(".")[0]


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
    room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    floor = FLOOR_OF[room]
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "daskml_kit" and len(parts) > 1:
            other = room_of(name.partition(".")[2])
            assert other == room or FLOOR_OF[other] < floor, f"{room} (floor {floor}) imports {name}"
        if floor <= NO_DASK_UP_TO:
            assert parts[0] not in ("dask", "distributed"), f"{room} (floor {floor}) imports {name}"
        assert not any(part.startswith("_") and part != "__future__" for part in parts), f"{name} is private"
