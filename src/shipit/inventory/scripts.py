"""Read inventories from the output of programs: scripts, and ansible-inventory.

A script is run with --list and, if its answer has no `_meta`, with --host once per host. Plugins,
TOML and constructed groups are read by the program `ansible-inventory` if it is installed; it gets
all sources, because a plugin may build on earlier ones.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.errors import InputError, Mistake, Place
from shipit.secrets import run
from shipit.yaml_tags import in_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shipit.inventory.grouping import Grouping
    from shipit.vault import Passwords

SECTIONS = ("hosts", "children", "vars")
TOOL = "ansible-inventory"
_TOOL_SECONDS = 180.0  # a plugin may query a cloud


def read_by_ansible(
    grouping: Grouping, sources: Sequence[Path], reason: Place, passwords: Passwords
) -> None:
    """Add the output of ansible-inventory for all sources; `reason` is what only it can read.

    Passwords that are in files are passed on.

    Raises:
        InputError: inventory-plugin if it is not installed, inventory-script if it fails.
    """
    tool = shutil.which(TOOL)
    if tool is None:
        what = f"this inventory can only be read by Ansible, and there is no {TOOL} here"
        hint = (
            "install ansible-core, or write its output to a file where it is installed: "
            f"{TOOL} -i {reason.file} --list --export > inventory.json"
        )
        raise InputError(Mistake("inventory-plugin", what, reason, hint))
    given = [word for source in sources for word in ("-i", str(source))]
    vaults = [word for file in passwords.files for word in ("--vault-id", file)]
    answers = Answers(grouping, Path(reason.file), passwords, _TOOL_SECONDS)
    answers.read([tool, *given, *vaults, "--export"])


class Answers:
    """The groups in the answers of a program."""

    def __init__(
        self, grouping: Grouping, source: Path, passwords: Passwords, seconds: float
    ) -> None:
        self._grouping, self._passwords, self._seconds = grouping, passwords, seconds
        self._source = str(source)

    def read(self, command: Sequence[str]) -> None:
        """Run the command with --list and add its answer.

        Raises:
            InputError: inventory-script.
        """
        groups = self._mapping("the answer to --list", self._ask(command, "--list"))
        meta = groups.pop("_meta", None)
        members = [self._group(group, content) for group, content in groups.items()]
        names = dict.fromkeys(name for hosts in members for name in hosts)
        if meta is None:
            known = {name: self._ask(command, "--host", name) for name in names}
        else:
            hostvars = self._mapping("_meta", meta).get("hostvars")
            known = self._mapping("_meta.hostvars", hostvars)
        for name in names:
            for key, value in self._mapping(f"the variables of '{name}'", known.get(name)).items():
                self._grouping.set_var(self._grouping.hosts[name].vars, key, value, self._where)

    def _where(self) -> Place:
        return Place(self._source)

    def _failure(self, what: str, hint: str = "") -> InputError:
        return InputError(Mistake("inventory-script", what, self._where(), hint))

    def _mapping(self, what: str, value: object) -> dict[str, object]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._failure(f"{what} must be a JSON object, not {type(value).__name__}")
        return value

    def _ask(self, command: Sequence[str], *question: str) -> object:
        asked = " ".join(question)
        try:
            answer = run([*command, *question], self._seconds)
        except subprocess.TimeoutExpired as error:
            what = f"the inventory script did not answer {asked} within {self._seconds:g} s"
            raise self._failure(what) from error
        except OSError as error:
            raise self._failure(f"the inventory script cannot be run: {error.strerror}") from error
        if answer.returncode:
            output = answer.stderr.decode(errors="replace").strip()
            what = f"the inventory script exited with status {answer.returncode} on {asked}"
            raise self._failure(what, output)
        if question[0] == "--host" and not answer.stdout.strip():
            return {}
        try:
            return json.loads(answer.stdout, object_hook=in_json(self._where(), self._passwords))
        except ValueError as error:
            raise self._failure(f"the answer to {asked} is not JSON: {error}") from error

    def _group(self, name: str, content: object) -> list[str]:
        """Add a group and return the names of the hosts in it."""
        group = self._grouping.add_group(name, self._where)
        if isinstance(content, list):  # the oldest form of the answer
            content = {"hosts": content}
        content = self._mapping(f"the group '{name}'", content)
        if group is None or not any(key in content for key in SECTIONS):
            what = f"the group '{name}' has none of {', '.join(SECTIONS)}"
            raise self._failure(what, "remove an empty group")
        hosts = self._names(name, content, "hosts")
        for host in hosts:
            self._grouping.add_host(host, self._source, self._where, group=group)
        for key, value in self._mapping(f"'{name}.vars'", content.get("vars")).items():
            self._grouping.set_group_var(group, key, value, self._where)
        for child in self._names(name, content, "children"):
            if self._grouping.add_group(child, self._where):
                self._grouping.add_child(name, child, self._where)
        return hosts

    def _names(self, group: str, content: dict[str, object], section: str) -> list[str]:
        names = content.get(section, [])
        if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names):
            raise self._failure(f"'{group}.{section}' must be a list of names")
        return names
