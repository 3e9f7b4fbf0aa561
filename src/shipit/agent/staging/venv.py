"""Create a release's venv at its final path, from blobs only: no network, no index.

Promises: every wheel must match its hash, and the caller's environment and configuration (UV_*,
PIP_*) are ignored. Root runs no code from a wheel: the manifest's interpreter creates the venv and
compiles its bytecode, and the installation must not change the files that make it a venv.
"""

import os
import re
import stat
from typing import Dict, List, Mapping, Optional, Tuple

from ..protocol.manifest import Manifest
from ..protocol.messages import Failure
from ..storage import blobs, uv_cache
from ..system import files, interpreters
from ..system.failures import Refused, from_output
from ..system.paths import Paths
from ..system.process import clean_environment, run

STEP = "build"
VENV_TIMEOUT = 120.0  # seconds
INSTALL_TIMEOUT = 900.0  # seconds
UV_ENVIRONMENT = {
    "UV_NO_CONFIG": "1",
    "UV_OFFLINE": "1",
    "UV_NO_INDEX": "1",
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_NO_PROGRESS": "1",
    "UV_LINK_MODE": "hardlink",
}
# Runs pip in the manifest's interpreter, which pretends to be the venv's. The venv's own would read
# pyvenv.cfg and import from site-packages while wheels are being unpacked there.
PIP = """
import runpy, sys
venv, wheel, *arguments = sys.argv[1:]
sys.prefix = sys.exec_prefix = venv
sys.executable = venv + "/bin/python"
sys.path.insert(0, wheel)
sys.argv = ["pip", *arguments]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
# The interpreter of a venv, and the files that it reads beside itself.
INTERPRETER = re.compile(r"(python|pypy)w?[\d.]*[a-z]?(\._pth)?|pyvenv\.cfg|pybuilddir\.txt")
State = Optional[Tuple[int, bytes]]  # of a path: its mode and content; None if there is none
Environment = Optional[Mapping[str, str]]
PIP_ENVIRONMENT = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INPUT": "1"}


def make(paths: Paths, manifest: Manifest) -> None:
    """Create the venv of a release, without bytecode.

    Raises:
        Refused: interpreter-rejected, blob-corrupt, cache-locked, venv-failed, install-failed,
            venv-replaced or a disk's failure.
    """
    venv = paths.release(manifest.id).venv
    rejected = interpreters.rejected(manifest.interpreter, step=STEP)
    if rejected:
        raise Refused(rejected)
    _create(venv, manifest.interpreter)
    made = foundation(venv)
    try:
        if manifest.installer == "uv":
            _by_uv(paths, manifest)
        else:
            _by_pip(paths, manifest)
    except Refused:
        blobs.refuse_corrupt(paths, manifest.artifacts(), STEP)
        raise
    except files.Locked:
        what = f"another app has been installing on this host for {uv_cache.WAIT:.0f} s"
        hint = "run the command again when that is done"
        raise Refused(Failure("cache-locked", what, STEP, hint)) from None
    _check_foundation(venv, made)


def _create(venv: str, interpreter: str) -> None:
    """Create an empty venv. -S: run nothing from the interpreter's site-packages either."""
    making = [interpreter, "-I", "-S", "-m", "venv", "--without-pip", venv]
    try:
        _run("venv-failed", f"python -m venv {venv}", making, VENV_TIMEOUT)
    except FileNotFoundError:
        what = f"the interpreter {interpreter} no longer exists"
        raise Refused(Failure("venv-failed", what, STEP, "install that Python again")) from None


# --- what makes it a venv ----------------------------------------------------------------------


def foundation(venv: str) -> Dict[str, State]:
    """Return each path of an empty venv with its mode and content."""
    return {entry.path: _state(entry.path) for entry in files.below(venv)}


def _state(path: str) -> State:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(mode):
        return mode, os.fsencode(os.readlink(path))
    if not stat.S_ISREG(mode):
        return mode, b""
    with open(path, "rb") as stream:
        return mode, stream.read()


def _check_foundation(venv: str, made: Dict[str, State]) -> None:
    """Check that the wheels have not changed the empty venv's files.

    Raises:
        Refused: venv-replaced.
    """
    changed = [path for path, state in made.items() if _state(path) != state]
    scripts = os.path.join(venv, "bin")
    names = filter(INTERPRETER.fullmatch, os.listdir(scripts))
    added = [path for path in (os.path.join(scripts, name) for name in names) if path not in made]
    if changed or added:
        what = f"a wheel has replaced or added {' and '.join(sorted(changed + added))} in the venv"
        hint = "find the wheel: unzip -l lists the files of each"
        raise Refused(Failure("venv-replaced", what, STEP, hint))


# --- the installers ----------------------------------------------------------------------------


def _by_uv(paths: Paths, manifest: Manifest) -> None:
    """Install with uv, which queries the venv's interpreter before it unpacks the first wheel."""
    venv = paths.release(manifest.id).venv
    uv = _uv_tool(paths, manifest)
    environment = clean_environment({**UV_ENVIRONMENT, "HOME": paths.tools})
    installing = [uv, "pip", "sync", "--quiet", "--require-hashes"]
    installing += ["--python", os.path.join(venv, "bin", "python"), "--cache-dir", paths.uv_cache]
    installing += [*_find_links(paths, manifest), _requirements(paths, manifest)]
    with uv_cache.trusted(paths):
        called = f"uv pip sync in {venv}"
        _run("install-failed", called, installing, INSTALL_TIMEOUT, environment)
    files.unlink(os.path.join(venv, ".lock"))  # uv leaves it writable for all users


def _by_pip(paths: Paths, manifest: Manifest) -> None:
    venv = paths.release(manifest.id).venv
    pip = blobs.wheel_path(paths, manifest.installer_wheel)
    installing = [manifest.interpreter, "-I", "-S", "-c", PIP, venv, pip]
    installing += ["--isolated", "--disable-pip-version-check", "install"]
    installing += ["--quiet", "--no-index", "--require-hashes", "--no-deps", "--no-cache-dir"]
    installing += ["--no-compile", *_find_links(paths, manifest)]
    installing += ["-r", _requirements(paths, manifest)]
    environment = clean_environment(PIP_ENVIRONMENT)
    _run("install-failed", f"pip install in {venv}", installing, INSTALL_TIMEOUT, environment)


def _find_links(paths: Paths, manifest: Manifest) -> List[str]:
    links = [blobs.wheel_path(paths, item) for item in (manifest.app_wheel, *manifest.wheels)]
    return [f"--find-links={os.path.dirname(link)}" for link in links]


def _requirements(paths: Paths, manifest: Manifest) -> str:
    path = os.path.join(paths.release(manifest.id).top, "requirements.txt")
    files.write(path, manifest.requirements.encode(), sync=False)  # for the installer alone
    return path


def _run(
    code: str, called: str, argv: List[str], timeout: float, environment: Environment = None
) -> None:
    done = run(argv, timeout=timeout, environment=environment)
    if not done.ok:
        raise Refused(from_output(code, f"{called} {done.end(timeout)}", STEP, done.output))


def _uv_tool(paths: Paths, manifest: Manifest) -> str:
    """Return the path of uv's binary, extracted from its wheel once.

    Raises:
        Refused: blob-corrupt, or installer-broken: the wheel has no uv in it.
    """
    wheel = manifest.installer_wheel
    tool = os.path.join(paths.tools, f"uv-{wheel.sha256}", "uv")
    if os.path.exists(tool):
        return tool
    import zipfile  # noqa: PLC0415 - once for each version of uv

    blobs.refuse_corrupt(paths, [wheel], STEP)
    files.make_directory(os.path.dirname(tool), 0o700)
    with zipfile.ZipFile(paths.blob(wheel.sha256)) as archive:
        places = (".data/scripts/uv", "/bin/uv")
        names = [name for name in archive.namelist() if name.endswith(places)]
        if not names:
            what = f"{wheel.filename} has no uv in it"
            raise Refused(Failure("installer-broken", what, STEP, "use uv's own wheel"))
        files.write(tool, archive.read(names[0]), 0o700)
    return tool
