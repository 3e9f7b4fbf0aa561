"""A real server of S3's protocol, in a process of its own: moto's.

with serving("10.0.0.1") as store:
    store.put("releases", path); store.environment
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from project import TOP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = """\
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(sys.argv[1], 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


CLIENT = """\
import sys
import s3fs
store = s3fs.S3FileSystem()
store.mkdir(sys.argv[1])
store.put_file(*sys.argv[2:])
"""


def install() -> None:
    """Install the dependency group `s3`, unless it is there: dozens of packages, for one test."""
    if all(find_spec(name) for name in ("moto", "s3fs")):
        return
    argv = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--group",
        f"{TOP}/pyproject.toml:s3",
    ]
    subprocess.run(argv, check=True)


@dataclass(frozen=True)
class ObjectStore:
    """Where it is, and the environment of those who use it."""

    origin: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.origin,
            "AWS_ACCESS_KEY_ID": "AKIASENTINELSENTINEL",
            "AWS_SECRET_ACCESS_KEY": "sentinel-of-a-secret-access-key",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def put(self, bucket: str, path: Path) -> None:
        """Upload a file, under its own name."""
        argv = [sys.executable, "-c", CLIENT, bucket, str(path), f"{bucket}/{path.name}"]
        subprocess.run(argv, env={**os.environ, **self.environment}, check=True)


@contextmanager
def serving(address: str) -> Iterator[ObjectStore]:
    install()
    argv = [sys.executable, "-c", SERVER, address]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            yield ObjectStore(f"http://{address}:{int(server.stdout.readline())}")
        finally:
            server.kill()
