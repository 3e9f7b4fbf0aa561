"""Run a command of a release as its services run: their user, their environment, their directory.

Changes nothing by itself, and masks nothing in the command's output.
"""

import os
import shutil
from typing import Optional, Sequence

from ..protocol.manifest import Manifest
from ..system.paths import Paths
from ..system.process import SYSTEM_PATH, Done
from .host import Host
from .transient import Command

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


def not_found(words: Sequence[str]) -> Done:
    """Return how a command ends whose program does not exist, as a shell has it."""
    program = words[0] if words else ""
    return Done(NOT_FOUND, f"no program {program!r} in the release's venv or on the host\n")
