"""SSH keys for tests, what they sign, and their lines in a file of allowed signers."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Key:
    """A key of ssh-keygen's, without a passphrase."""

    path: Path

    @classmethod
    def make(cls, folder: Path, name: str = "key", kind: str = "ed25519") -> Key:
        folder.mkdir(parents=True, exist_ok=True)
        argv = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(argv, check=True, capture_output=True)
        return cls(folder / name)

    @property
    def public(self) -> Path:
        return self.path.with_suffix(".pub")

    def line(self, who: str, options: str = 'namespaces="shipit"') -> str:
        """Return its line in a file of allowed signers."""
        kind, key, _ = self.public.read_text().split()
        return f"{who} {options} {kind} {key}\n"

    def signature(self, text: str, namespace: str = "shipit") -> str:
        argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(self.path)]
        done = subprocess.run(argv, input=text, text=True, check=True, capture_output=True)
        return done.stdout
