"""Make a release's venv at its final path, from blobs alone: no network, no index.

Promises: hashes are required of every wheel, nothing of the caller's environment or configuration
(UV_*, PIP_*) counts.
"""

import os
import zipfile
from typing import List, Sequence

from . import files, store, uvcache
from .contents import Manifest
from .failures import Refused, from_output
from .paths import Paths
from .process import Done, clean_environment, run
from .protocol import Failure

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
PIP_ENVIRONMENT = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INPUT": "1"}


def make(paths: Paths, manifest: Manifest) -> None:
    """Make the venv of a release, without bytecode.

    Raises:
        Refused: blob-corrupt, cache-locked, venv-failed, install-failed or a disk's failure.
    """
    try:
        if manifest.installer == "uv":
            _by_uv(paths, manifest)
        else:
            _by_pip(paths, manifest)
    except Refused:
        spoiled = store.expel_corrupt(paths, manifest.artifacts())
        if spoiled:
            raise Refused(store.corrupt(spoiled, STEP)) from None
        raise
    except files.Locked:
        what = f"another app has been installing on this host for {uvcache.WAIT:.0f} s"
        raise Refused(
            Failure("cache-locked", what, STEP, "run it again when that is done")
        ) from None


def _by_uv(paths: Paths, manifest: Manifest) -> None:
    venv = paths.release(manifest.id).venv
    uv = _uv_tool(paths, manifest)
    cache = ["--cache-dir", paths.uv_cache]
    environment = clean_environment({**UV_ENVIRONMENT, "HOME": paths.tools})
    making = [uv, "venv", "--quiet", "--no-project", "--python", manifest.interpreter, *cache, venv]
    installing = [uv, "pip", "sync", "--quiet", "--require-hashes"]
    installing += ["--python", os.path.join(venv, "bin", "python"), *cache]
    installing += [*_find_links(paths, manifest), _requirements(paths, manifest)]
    with uvcache.trusted(paths):
        _done("venv-failed", making, run(making, timeout=VENV_TIMEOUT, environment=environment))
        done = run(installing, timeout=INSTALL_TIMEOUT, environment=environment)
        _done("install-failed", installing, done)
    files.unlink(os.path.join(venv, ".lock"))  # uv leaves it writable for everybody


def _by_pip(paths: Paths, manifest: Manifest) -> None:
    venv = paths.release(manifest.id).venv
    python = os.path.join(venv, "bin", "python")
    making = [manifest.interpreter, "-I", "-m", "venv", "--without-pip", venv]
    _done("venv-failed", making, run(making, timeout=VENV_TIMEOUT))
    pip = os.path.join(store.wheel_path(paths, manifest.installer_wheel), "pip")
    installing = [python, "-I", pip, "--isolated", "--disable-pip-version-check", "install"]
    installing += ["--quiet", "--no-index", "--require-hashes", "--no-deps", "--no-cache-dir"]
    installing += ["--no-compile", *_find_links(paths, manifest)]
    installing += ["-r", _requirements(paths, manifest)]
    environment = clean_environment(PIP_ENVIRONMENT)
    done = run(installing, timeout=INSTALL_TIMEOUT, environment=environment)
    _done("install-failed", installing, done)


def _find_links(paths: Paths, manifest: Manifest) -> List[str]:
    links = [store.wheel_path(paths, item) for item in (manifest.app_wheel, *manifest.wheels)]
    return [f"--find-links={os.path.dirname(link)}" for link in links]


def _requirements(paths: Paths, manifest: Manifest) -> str:
    path = os.path.join(paths.release(manifest.id).top, "requirements.txt")
    files.write(path, manifest.requirements.encode())
    return path


def _done(code: str, argv: Sequence[str], done: Done) -> None:
    if not done.ok:
        limit = VENV_TIMEOUT if code == "venv-failed" else INSTALL_TIMEOUT
        what = f"{' '.join(argv[:3])} {done.end(limit)}"
        raise Refused(from_output(code, what, STEP, done.output))


def _uv_tool(paths: Paths, manifest: Manifest) -> str:
    """Return the path of uv's binary, taken out of its wheel once.

    Raises:
        Refused: blob-corrupt, or installer-broken: the wheel has no uv in it.
    """
    wheel = manifest.installer_wheel
    tool = os.path.join(paths.tools, f"uv-{wheel.sha256}", "uv")
    if os.path.exists(tool):
        return tool
    spoiled = store.expel_corrupt(paths, [wheel])
    if spoiled:
        raise Refused(store.corrupt(spoiled, STEP))
    files.make_directory(os.path.dirname(tool), 0o700)
    with zipfile.ZipFile(paths.blob(wheel.sha256)) as archive:
        places = (".data/scripts/uv", "/bin/uv")
        names = [name for name in archive.namelist() if name.endswith(places)]
        if not names:
            what = f"{wheel.filename} has no uv in it"
            raise Refused(Failure("installer-broken", what, STEP, "use uv's own wheel"))
        files.write(tool, archive.read(names[0]), 0o700)
    return tool
