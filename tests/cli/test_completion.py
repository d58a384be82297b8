"""What the shell completes, in bash itself and by what zsh is given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from audit_pipeline.cli.completion import complete_source
from audit_pipeline.contract.columns import REASONS
from tests.support.cli_harness import Commands, QueryCommands
from tests.support.shop import ORDERS, STOCK


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with the program."""
    program = tmp_path / "bin" / "audit-pipeline"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from audit_pipeline.cli import main; main()" "$@"\n')
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


def in_bash(script: str, path: str, home: Path) -> str:
    env = os.environ | {"HOME": str(home), "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}
    # "true", for bash would become the program, which then looks for its shell
    done = subprocess.run(
        ["bash", "-c", f"{script}\ntrue"], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


def test_bash_completes_once_that_is_installed(path: str, tmp_path: Path) -> None:
    assert "Completion will take effect once you restart the terminal" in in_bash(
        "audit-pipeline --install-completion", path, tmp_path
    )
    typed = "COMP_WORDS=(audit-pipeline query --format '') COMP_CWORD=3"
    script = f'source ~/.bashrc; {typed}; _audit_pipeline_completion audit-pipeline; echo "${{COMPREPLY[@]}}"'
    assert in_bash(script, path, tmp_path) == "table json csv parquet\n"


def test_the_script_of_a_shell_can_be_shown(path: str, tmp_path: Path) -> None:
    shown = in_bash("audit-pipeline --show-completion", path, tmp_path)
    assert "complete -o default -F _audit_pipeline_completion audit-pipeline" in shown


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("audit-pipeline sta", ["status"]),
        ("audit-pipeline cost --engine ", ["local", "spark", "glue"]),
        ("audit-pipeline query --action U", ["Update"]),
        ("audit-pipeline query --actor-type ", ["Client", "Service", "User"]),
        ("audit-pipeline quarantine --reason ", sorted(REASONS)),
        ("audit-pipeline history Order 500 --source myapp.o", [ORDERS]),
    ],
)
def test_commands_and_values_are_completed_in_bash_and_zsh(
    queries: QueryCommands, line: str, values: list[str]
) -> None:
    words = line.split(" ")
    for_bash = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    assert answer(queries, for_bash, "complete_bash").splitlines() == values
    for_zsh = answer(queries, {"_TYPER_COMPLETE_ARGS": line}, "complete_zsh")
    assert for_zsh.startswith("_arguments '*: :((")
    assert [value.split('"')[1] for value in for_zsh.split("((")[1].splitlines()] == values


def answer(commands: Commands, protocol: dict[str, str], instruction: str) -> str:
    asking = Commands(commands.env | protocol | {"_AUDIT_PIPELINE_COMPLETE": instruction})
    result = asking.in_a_process()
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.parametrize("url", ["s3://bucket/lake", "/no/such/folder", "gopher://x", ""])
def test_without_a_lake_in_a_folder_no_source_is_completed_and_nothing_fails(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("AUDIT_LAKE_URL", url)
    assert complete_source("") == []


def test_the_sources_of_a_lake_are_completed(queries: QueryCommands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_LAKE_URL", queries.env["AUDIT_LAKE_URL"])
    assert complete_source("") == [STOCK, ORDERS]
    assert complete_source("myapp.i") == [STOCK]
