"""Nothing that is imported needs POSIX. Windows itself is not tested; its Python's gaps are made here."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.paths import REPOSITORY

#: Of the standard library, what Python on Windows does not have.
POSIX_MODULES: Final = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_FUNCTIONS: Final = {
    *("chown", "fork", "forkpty", "getuid", "geteuid", "killpg", "mkfifo", "register_at_fork", "setsid", "sysconf")
}
POSIX_SIGNALS: Final = {"SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2"}

MODULES: Final = sorted((REPOSITORY / "audit_pipeline").rglob("*.py"))


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported, but for those behind a question for what they need."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "hasattr(" in ast.unparse(child.test):
            continue
        yield child
        yield from run_at_import(child)


def names_of(node: ast.AST) -> set[str]:
    match node:
        case ast.Import():
            return {alias.name.partition(".")[0] for alias in node.names} & POSIX_MODULES
        case ast.ImportFrom():
            return {(node.module or "").partition(".")[0]} & POSIX_MODULES
        case ast.Attribute(value=ast.Name(id="os")):
            return {node.attr} & POSIX_FUNCTIONS
        case ast.Attribute(value=ast.Name(id="signal")):
            return {node.attr} & POSIX_SIGNALS
    return set()


@pytest.mark.parametrize("module", MODULES, ids=[str(path.relative_to(REPOSITORY)) for path in MODULES])
def test_a_module_is_imported_without_what_only_posix_has(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    assert {name for node in run_at_import(tree) for name in names_of(node)} == set()


def test_a_service_publishes_where_there_is_no_fork() -> None:
    code = """
import os
del os.fork, os.register_at_fork
from audit_pipeline.producer import Accepted, AuditEvent, AuditPublisher, Entity, EntityChange

class Bus:
    def put(self, entries):
        print(*(entry.source for entry in entries))
        return [Accepted(entry.event_id) for entry in entries]
    def reset(self): ...

with AuditPublisher("shop", Bus()) as publisher:
    publisher.publish(AuditEvent([EntityChange(Entity("500", "Order"), after={})], "Order", "Update"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "shop\n", "")
