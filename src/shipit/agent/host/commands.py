"""Run a command of a release as its services run: their user, their environment, their directory.

Changes nothing by itself, and masks nothing in the command's output.
"""

import os
import shutil
from typing import Sequence

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
    release = paths.release(manifest.id)
    search = f"{os.path.join(release.venv, 'bin')}:{SYSTEM_PATH}"
    program = words[0] if words else ""
    found = program if "/" in program else shutil.which(program, path=search)
    if not found:
        return Done(NOT_FOUND, f"no program {program!r} in the release's venv or on the host\n")
    env_files = tuple(release.env_file(name) for name in sorted(e.service for e in manifest.env))
    command = Command((found, *words[1:]), manifest.user, release.files, env_files, search)
    return host.run_as(command, timeout=timeout)
