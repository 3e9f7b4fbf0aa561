"""Run a command of a release as its services run: their user, their environment, their directory.

Changes nothing by itself, and masks nothing in the command's output.
"""

import os
import shutil
from dataclasses import replace
from typing import Optional, Sequence

from ..protocol.manifest import Manifest
from ..protocol.messages import Failure
from ..system import process, trust
from ..system.failures import Refused
from ..system.paths import Paths
from ..system.process import SYSTEM_PATH, Done
from .host import Host
from .transient import Command

ROOT = "root"
NOT_FOUND = 127  # a shell's exit status for it


def run(paths: Paths, host: Host, manifest: Manifest, words: Sequence[str], timeout: float) -> Done:
    """Run a command with the env of all services; finds its program in the venv or the system.

    Raises:
        Refused: there is no such user, or no systemd.
    """
    command = of(paths, manifest, words)
    return host.run_as(command, timeout=timeout) if command else not_found(words)


def of(paths: Paths, manifest: Manifest, words: Sequence[str]) -> Optional[Command]:
    """Return the command that `run` runs; None if there is no such program."""
    release = paths.release(manifest.id)
    search = f"{os.path.join(release.venv, 'bin')}:{SYSTEM_PATH}"
    program = words[0] if words else ""
    found = program if "/" in program else shutil.which(program, path=search)
    if not found:
        return None
    env_files = tuple(release.env_file(name) for name in sorted(e.service for e in manifest.env))
    return Command((found, *words[1:]), manifest.user, release.files, env_files, search)


def as_root(paths: Paths, manifest: Manifest, words: Sequence[str]) -> Optional[Command]:
    """Return the same command for root, who runs no program that other users can change.

    Raises:
        Refused: program-untrusted: they can, or the path is relative.
    """
    found, program = of(paths, manifest, words), words[0] if words else ""
    folder = os.path.join(paths.release(manifest.id).venv, "bin")
    own = "" if trust.weakness(folder) else folder
    search = ":".join(filter(None, (own, process.clean_environment()["PATH"])))
    if "/" not in program:
        path = shutil.which(program, path=search) or process.program(program)
    else:
        path = program
    if not found or not path:
        return None
    if not path.startswith("/"):
        what = f"root runs no program by the relative path {program}"
        raise Refused(Failure("program-untrusted", what, "", "write its whole path"))
    if weak := trust.weakness(path):
        what = f"root does not run {path}, which other users can change: {weak}"
        raise Refused(Failure("program-untrusted", what, "", weak.cure))
    return replace(found, argv=(path, *words[1:]), user=ROOT, search=search, privileged=True)


def not_found(words: Sequence[str]) -> Done:
    """Return how a command ends whose program does not exist, as a shell has it."""
    program = words[0] if words else ""
    return Done(NOT_FOUND, f"no program {program!r} in the release's venv or on the host\n")
