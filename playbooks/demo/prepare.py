"""Build the demo service's wheel and fill its wheelhouse from the package index.

    python playbooks/demo/prepare.py                               1.0.0, and its dependencies
    python playbooks/demo/prepare.py --version 1.1.0               another version of the same code
    python playbooks/demo/prepare.py --version 1.2.0 --broken healthz    a broken one

Needs uv; runs pip by uv if it is not installed. Equal sources give equal wheels, byte for byte;
existing downloads are kept. Prints the path of the app's wheel.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE / "requirements.lock"
PROJECT = HERE / "demoapp"
INSTALLERS = ("uv", "pip")
FAULTS = ("healthz", "start", "late")
GLIBC_MINORS = (34, 31, 28)  # of wheels, up to Debian 12's 2.36
SOURCE_DATE = "1577836800"  # 2020-01-01
BUILD_TIMEOUT_S = 120
DOWNLOAD_TIMEOUT_S = 600


@dataclass(frozen=True)
class Options:
    """What to build and for which hosts."""

    version: str
    broken: str
    python: str
    machine: str
    dist: Path
    wheels: Path


def parse(arguments: list[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", default="1.0.0", help="of the app (1.0.0)")
    parser.add_argument("--broken", default="", choices=FAULTS, help="build a bad release")
    parser.add_argument("--python", default="3.11", help="of the hosts (3.11)")
    parser.add_argument("--machine", default=platform.machine(), help="of the hosts (this one's)")
    parser.add_argument("--dist", type=Path, default=HERE / "dist", help="where the app goes")
    parser.add_argument("--wheels", type=Path, default=HERE / "wheels", help="where the rest goes")
    return Options(**vars(parser.parse_args(arguments)))


def build_app(options: Options) -> Path:
    """Build the app's wheel from a copy of its source with the version and the fault written in."""
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "demoapp"
        shutil.copytree(PROJECT, source, ignore=shutil.ignore_patterns("__pycache__", "dist"))
        write_in(source / "pyproject.toml", r'^version = ".*?"', f'version = "{options.version}"')
        write_in(source / "demoapp/fault.py", r'^FAULT = ".*?"', f'FAULT = "{options.broken}"')
        built = Path(temporary) / "built"
        command = [uv(), "build", "--quiet", "--wheel", "--out-dir", str(built), str(source)]
        if importlib.util.find_spec("hatchling"):  # no index is needed then
            command += ["--no-build-isolation", "--python", sys.executable]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": SOURCE_DATE}
        subprocess.run(command, check=True, env=environment, timeout=BUILD_TIMEOUT_S)
        (wheel,) = built.glob("*.whl")
        options.dist.mkdir(parents=True, exist_ok=True)
        unfinished = options.dist / f".{wheel.name}.{os.getpid()}"
        shutil.copyfile(wheel, unfinished)
        return unfinished.replace(options.dist / wheel.name)


def write_in(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"{path.name} has {count} lines like {pattern}; expected one")
    path.write_text(text)


def fill_wheelhouse(options: Options) -> None:
    """Download every locked wheel and the installers, unless an earlier run has done so."""
    stamp = options.wheels / f".filled-{options.python}-{options.machine}"
    lock = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if stamp.exists():
        of_lock, *names = stamp.read_text().splitlines()
        if of_lock == lock and all((options.wheels / name).exists() for name in names):
            return
    options.wheels.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    download(options, "--require-hashes", "-r", str(LOCK))
    download(options, *INSTALLERS)
    names = sorted(path.name for path in options.wheels.glob("*.whl"))
    stamp.write_text("\n".join([lock, *names]) + "\n")


def download(options: Options, *what: str) -> None:
    platforms = [f"manylinux_2_{minor}_{options.machine}" for minor in GLIBC_MINORS]
    command = [*pip(), "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--implementation", "cp", "--python-version", options.python]
    for name in [*platforms, f"manylinux2014_{options.machine}"]:
        command += ["--platform", name]
    command += ["--dest", str(options.wheels), *what]
    subprocess.run(command, check=True, timeout=DOWNLOAD_TIMEOUT_S)


def uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        sys.exit("prepare.py needs uv: https://docs.astral.sh/uv/ (or: pip install uv)")
    return found


def pip() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    return [uv(), "tool", "run", "pip"]


def main() -> None:
    options = parse()
    try:
        fill_wheelhouse(options)
        wheel = build_app(options)
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed with status {error.returncode}: {' '.join(error.cmd)}")
    sys.stdout.write(f"{wheel}\n")


if __name__ == "__main__":
    main()
