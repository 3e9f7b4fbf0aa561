"""Inventories as users write them, each in one file: its parts, and how it is used.

A part begins with `-- PATH --`; what begins with #! can be run. The part `case` says what is not
the usual: sources (default `hosts`), playbook (a folder), vault (a password), ansible (only Ansible
can read it), warns (Ansible warns and goes on).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipit.inventory.model import Inventory, Reading, load
from shipit.secrets import Secret
from shipit.vault import Passwords, Source, Vaulted

FOLDER = Path(__file__).parents[1] / "inventories"
HERE = "<here>"  # in the expected reading, the folder of the files


@dataclass(frozen=True)
class Case:
    """One inventory of the corpus."""

    name: str
    files: dict[str, str]
    settings: dict[str, str]

    @property
    def expected(self) -> Path:
        return FOLDER / f"{self.name}.json"

    @property
    def is_for_ansible(self) -> bool:
        return "ansible" in self.settings

    @property
    def password(self) -> str:
        return self.settings.get("vault", "")

    def write(self, folder: Path) -> None:
        for name, text in self.files.items():
            path, *flags = name.split()
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            content = text.replace("\n", "\r\n") if "CRLF" in flags else text
            target.write_bytes((b"\xef\xbb\xbf" if "BOM" in flags else b"") + content.encode())
            target.chmod(0o755 if text.startswith("#!") else 0o644)

    def sources(self, folder: Path) -> list[str]:
        words = self.settings.get("sources", "hosts").split()
        return [word if "," in word else str(folder / word) for word in words]

    def playbook(self, folder: Path) -> Path | None:
        name = self.settings.get("playbook")
        return folder / name if name else None

    def read(self, folder: Path) -> Inventory:
        """Read it with shipit; the files have been written."""
        password = self.password
        passwords = Passwords([Source("", lambda: Secret(password))] if password else [])
        reading = Reading(passwords, self.playbook(folder))
        return load([Path(source) for source in self.sources(folder)], reading)


def cases() -> list[Case]:
    return [_case(path) for path in sorted(FOLDER.glob("*.txt"))]


def _case(path: Path) -> Case:
    parts = re.split(r"(?m)^-- (.+?) --\n", path.read_text())[1:]
    files = dict(zip(parts[::2], parts[1::2], strict=True))
    lines = files.pop("case", "").splitlines()
    settings = dict(line.split(": ", 1) for line in lines)
    return Case(
        path.stem, {name: text for name, text in files.items() if name != "nothing"}, settings
    )


def plain(inventory: Inventory, folder: Path) -> Any:  # noqa: ANN401 - what JSON can hold
    """Return an inventory as the expected reading has it, vaults opened."""
    return without_folder(
        {
            "hosts": [host.name for host in inventory.hosts],
            "groups": {name: list(hosts) for name, hosts in inventory.groups.items()},
            "vars": {host.name: dict(host.vars) for host in inventory.hosts},
        },
        folder,
    )


def without_folder(value: object, folder: Path) -> Any:  # noqa: ANN401 - what JSON can hold
    text = json.dumps(value, default=_plain, ensure_ascii=False, sort_keys=True)
    return json.loads(text.replace(str(folder), HERE))


def _plain(value: object) -> str:
    if isinstance(value, Vaulted):
        return value.open().reveal()
    return value.reveal() if isinstance(value, Secret) else str(value)
