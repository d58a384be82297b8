"""What the Glue job needs besides what Glue brings: this package's wheel, and the list of modules beside it.

    python aws/glue/package.py FOLDER

builds the wheel into FOLDER and prints the list. The job has pip install both without dependencies
(``--python-modules-installer-option --no-deps``): the wheel's own would bring Dagster, Great Expectations and DuckDB,
of which the job imports nothing. So the list is whole in itself, and pinned to what CI ran with; ``aws/cf.yaml`` has it
too, and a test compares. PySpark and py4j are Glue's.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["MODULES", "build_wheel", "pinned_modules"]

_ROOT: Final = Path(__file__).parents[2]
#: What the package imports in the job, and what that imports. Spark's ``mapInArrow`` wants pandas; Glue has one, which
#: need not fit a NumPy of this version.
MODULES: Final = (
    *("annotated-types", "msgspec", "numpy", "obstore", "pandas", "psutil", "pyarrow", "pydantic", "pydantic_core"),
    *("pydantic-settings", "python-dateutil", "python-dotenv", "six", "typing-inspection", "typing_extensions"),
    *("zlib-ng", "zstandard"),
)


def pinned_modules() -> list[str]:
    """The modules with their versions of ``constraints.txt``."""
    lines = (_ROOT / "constraints.txt").read_text().splitlines()
    versions = dict(line.split("==") for line in lines if "==" in line)
    return [f"{name}=={versions[name]}" for name in MODULES]


def build_wheel(folder: Path) -> Path:
    """The wheel, built in ``folder``."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, _ROOT]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("audit_pipeline-*.whl")
    return wheel


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print(",".join([str(build_wheel(parser.parse_args().folder)), *pinned_modules()]))
