"""Find the version of systemd on this host."""

import os
import re

from ..system import files
from ..system.process import program
from .host import Host


def systemd_version(cache_path: str, host: Host) -> int:
    """Return systemd's version, 0 for none; cached until its binary changes."""
    binary = program("systemctl")
    if not binary:
        return 0
    status = os.stat(binary)
    stamp = [binary, status.st_ino, status.st_mtime_ns, status.st_size]
    known = files.read_json(cache_path)
    if isinstance(known, dict) and known.get("stamp") == stamp:
        return int(known["version"])
    found = re.search(r"systemd (\d+)", host.systemctl("--version").output)
    version = int(found.group(1)) if found else 0
    files.remember(cache_path, {"stamp": stamp, "version": version})
    return version
