"""``DAGSTER_HOME``: the folder in which Dagster keeps its runs."""

import os
from pathlib import Path

from audit_pipeline.errors import SettingsError

__all__ = ["dagster_home", "require_dagster_home"]


def dagster_home() -> Path | None:
    """The folder, whether it exists or not; None if the variable is not set."""
    home = os.environ.get("DAGSTER_HOME")
    return Path(home) if home else None


def require_dagster_home() -> Path:
    """The folder; :class:`SettingsError` if it is not set, not absolute or does not exist."""
    home = dagster_home()
    if home is None:
        raise SettingsError(
            "DAGSTER_HOME is not set: give the absolute path of the folder where Dagster keeps its runs"
        )
    if not home.is_absolute() or not home.is_dir():
        raise SettingsError(f"DAGSTER_HOME is wrong: {str(home)!r} is not the absolute path of an existing folder")
    return home
