"""Which part of the package may import which, and who may import Dagster: the arrows of docs/design.md."""

import ast
from collections.abc import Collection, Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

from tests.support.paths import REPOSITORY

PACKAGE: Final = "audit_pipeline"
#: Small modules at the bottom, which every part may import.
BOTTOM: Final = ("errors", "epoch", "extras", "retrying")
#: What each part may import of the others, besides those.
ARROWS: Final[Mapping[str, Collection[str]]] = {
    "errors": (),
    "epoch": (),
    "extras": (),
    "retrying": (),
    "aws": (),
    "settings": (),
    "contract": (),
    "store": (),
    "producer": ("contract",),
    "transform": ("contract", "store"),
    "simulate": ("store",),
    "cost": ("store",),
    "catalog": ("aws", "contract", "settings", "store"),
    "engines": ("__init__", "aws", "settings", "store", "transform"),
    "query": ("catalog", "contract", "settings", "store"),
    "quality": ("catalog", "contract", "settings", "store"),
    "orchestration": ("catalog", "contract", "engines", "quality", "settings", "store"),
    "definitions": ("orchestration",),
    "cli": (
        "__init__",
        "catalog",
        "contract",
        "cost",
        "engines",
        "orchestration",
        "quality",
        "query",
        "settings",
        "simulate",
        "store",
    ),
    "__init__": ("query",),
}
#: The only modules of the store that the transform knows: names and counts, no objects.
NAMES_OF_THE_STORE: Final = {f"{PACKAGE}.store.layout"}
#: What opens files, connections or processes.
IO: Final = {
    *("boto3", "duckdb", "http", "obstore", "os", "pathlib", "requests", "shutil", "socket", "subprocess", "urllib"),
}


@cache
def modules() -> Mapping[str, Path]:
    """The files of the package, by module name."""
    found = {}
    for path in sorted((REPOSITORY / PACKAGE).rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path, *, of_types: bool = True) -> frozenset[str]:
    """The modules that a file imports, at its top or later; with those that only type checkers import, or without."""
    imported, waiting = set[str](), list[ast.AST]([tree(path)])
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path} has a relative import"
            names = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            imported |= {full if full in modules() else node.module for full in names.values()}
        elif is_type_checking(node) and not of_types:
            continue
        waiting += ast.iter_child_nodes(node)
    return frozenset(imported)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def is_of(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("part", ARROWS)
def test_a_part_imports_only_those_below_it(part: str) -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules().items()
        if part_of(name) == part
        for imported in imports(path)
        if is_of(imported, PACKAGE)
        and part_of(imported) not in {part, *ARROWS[part], *(BOTTOM if part not in BOTTOM else ())}
    ]
    assert wrong == []


def test_every_part_of_the_package_has_its_arrows() -> None:
    assert {part_of(name) for name in modules()} == set(ARROWS)


def test_the_arrows_have_no_circle() -> None:
    list(TopologicalSorter(ARROWS).static_order())


def test_no_modules_import_each_other() -> None:
    graph = {name: imports(path, of_types=False) & modules().keys() - {name} for name, path in modules().items()}
    list(TopologicalSorter(graph).static_order())


def test_only_the_orchestration_imports_dagster() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules().items()
        if part_of(name) != "orchestration"
        for imported in imports(path)
        if imported.split(".")[0].startswith("dagster")
    ]
    assert wrong == []


def test_only_one_module_imports_what_is_private_to_dagster() -> None:
    private = {name for name, path in modules().items() if any(i.startswith("dagster._") for i in imports(path))}
    assert private == {f"{PACKAGE}.orchestration.dagster_internals"}


def test_the_transform_does_no_io() -> None:
    transform = {name: path for name, path in modules().items() if part_of(name) == "transform"}
    store = {name for path in transform.values() for name in imports(path) if is_of(name, f"{PACKAGE}.store")}
    assert store == NAMES_OF_THE_STORE
    assert {top for path in transform.values() for name in imports(path) if (top := name.split(".")[0]) in IO} == set()
    calls = {
        f"{name}, line {node.lineno}"
        for name, path in transform.items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open"
    }
    assert calls == set()
