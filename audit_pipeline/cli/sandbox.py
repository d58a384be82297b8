"""The folder of a demo: raw, lake and Dagster's storage under one roof, and the settings that point there."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Self

from audit_pipeline.errors import SettingsError
from audit_pipeline.orchestration.names import LOCATION

__all__ = ["Sandbox", "environment", "program"]

#: To be changed where the same demo writes other objects than before: they would mix with those of an older folder.
_TRAFFIC: Final = 2
_DAGSTER_YAML: Final = """\
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 2
"""

_WORKSPACE_YAML: Final = f"""\
load_from:
  - python_module:
      module_name: audit_pipeline.definitions
      location_name: {LOCATION}
"""


@dataclass(frozen=True)
class Sandbox:
    """``start_date`` is the first day of the folder's very first demo, so that all its traffic is of one piece."""

    folder: Path
    start_date: date
    events_per_day: int
    seed: int

    @classmethod
    def prepare(cls, folder: Path, *, first: date, events_per_day: int, seed: int) -> Self:
        """The sandbox in ``folder``, made if there is none. One of other traffic is refused: both would mix."""
        folder = folder.expanduser().resolve()
        wanted = cls(folder, first, events_per_day, seed)
        found = cls._find(folder)
        if found is None:
            wanted._refuse_foreign_folder()
        elif found.start_date > first or (found.events_per_day, found.seed) != (events_per_day, seed):
            raise SettingsError(
                f"{folder} holds a demo from {found.start_date} on with --events-per-day {found.events_per_day} and "
                f"--seed {found.seed}: give the same, or another --folder, or remove the folder"
            )
        sandbox = found or wanted
        sandbox._write()
        return sandbox

    @property
    def shell_path(self) -> str:
        """The path of the file of settings, as a shell reads it; from here, if it lies below."""
        return self._shell_path("env")

    def ui_command(self) -> str:
        """What opens Dagster's UI on this folder: ``make dev`` knows the usual one, in a checkout."""
        if self.folder == Path(".demo").resolve() and Path("Makefile").is_file():
            return "make dev"
        return f"dagster dev -w {self._shell_path('workspace.yaml')}"

    def variables(self) -> dict[str, str]:
        """Settings of a process that works in this folder."""
        return {
            "AUDIT_RAW_URL": str(self.folder / "raw"),
            "AUDIT_LAKE_URL": str(self.folder / "lake"),
            "AUDIT_START_DATE": str(self.start_date),
            "AUDIT_ENGINE": "local",
            "AUDIT_QUERY_BACKEND": "duckdb",
            "AUDIT_GRACE_HOURS": "1",
            "AUDIT_DAYS_PER_RUN": "1",
            "DAGSTER_HOME": str(self.folder / "dagster"),
        }

    def _shell_path(self, name: str) -> str:
        return shlex.quote(_from_here(self.folder / name))

    @classmethod
    def _find(cls, folder: Path) -> Self | None:
        try:
            words = shlex.split((folder / "env").read_text(encoding="utf-8"))
            values = dict(word.split("=", 1) for word in words)
            start = date.fromisoformat(values["AUDIT_START_DATE"])
            found = cls(folder, start, int(values["DEMO_EVENTS_PER_DAY"]), int(values["DEMO_SEED"]))
        except FileNotFoundError:
            return None
        except (KeyError, ValueError) as error:
            raise SettingsError(f"{folder / 'env'} is not what a demo writes: {error!r}") from None
        if values.get("DEMO_TRAFFIC") != str(_TRAFFIC):
            raise SettingsError(
                f"{folder} holds a demo of another version: give another --folder, or remove the folder"
            )
        return found

    def _refuse_foreign_folder(self) -> None:
        if self.folder.is_dir() and any(self.folder.iterdir()):
            raise SettingsError(f"{self.folder} is not empty, and no demo made it: give another --folder")

    def _write(self) -> None:
        for name in ("raw", "lake", "dagster"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        dagster_yaml = self.folder / "dagster" / "dagster.yaml"
        if not dagster_yaml.exists():
            dagster_yaml.write_text(_DAGSTER_YAML, encoding="utf-8")
        (self.folder / "workspace.yaml").write_text(_WORKSPACE_YAML, encoding="utf-8")
        written = self.variables() | {
            "DEMO_EVENTS_PER_DAY": str(self.events_per_day),
            "DEMO_SEED": str(self.seed),
            "DEMO_TRAFFIC": str(_TRAFFIC),
        }
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in written.items()]
        (self.folder / "env").write_text("".join(lines), encoding="utf-8")


def program() -> str:
    """What a shell in this folder calls this program by."""
    started_as = Path(sys.argv[0]).absolute()
    if started_as.name != "audit-pipeline":  # python -m, or a test
        return f"{shlex.quote(_from_here(Path(sys.executable)))} -m audit_pipeline.cli"
    found = shutil.which(started_as.name)
    is_on_path = found is not None and Path(found).absolute() == started_as
    return started_as.name if is_on_path else shlex.quote(_from_here(started_as))


def _from_here(path: Path) -> str:
    """The path from the working directory if it lies below, else the whole path. A shell needs a slash in it."""
    if not path.is_relative_to(Path.cwd()):
        return str(path)
    relative = path.relative_to(Path.cwd())
    return str(relative) if len(relative.parts) > 1 else f"./{relative}"


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the time of the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
