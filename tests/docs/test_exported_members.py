"""What a reader is told to import is public: each name is in the ``__all__`` of the module it is imported from."""

import ast
import importlib
import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.paths import REPOSITORY

PAGES: Final = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md")))


def _programs() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for code in re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            yield page.relative_to(REPOSITORY).as_posix(), code
    for program in sorted((REPOSITORY / "examples").rglob("*.py")):
        yield program.relative_to(REPOSITORY).as_posix(), program.read_text(encoding="utf-8")


def _imports() -> Iterator[tuple[str, str, str]]:
    """(page, module, name) of each ``from audit_pipeline… import name``."""
    for page, code in _programs():
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "audit_pipeline":
                yield from ((page, node.module or "", alias.name) for alias in node.names)


IMPORTS: Final = sorted(set(_imports()))


def test_the_readme_each_readers_pages_and_the_examples_import_from_the_package() -> None:
    folders = {page.rpartition("/")[0] for page, _, _ in IMPORTS}
    assert folders >= {"", "docs/ask", "docs/publish", "examples/producer"}


@pytest.mark.parametrize(("page", "module", "name"), IMPORTS)
def test_a_name_that_is_imported_is_exported(page: str, module: str, name: str) -> None:
    assert name in importlib.import_module(module).__all__, f"{page} imports a name that {module} does not export"
