"""Compare our reading of inventories with ansible-core's, on written and on generated ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings

from generated_inventories import Case, Selection, cases
from project import TESTS
from shipit.errors import InputError
from shipit.inventory.model import Inventory, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PATIENCE = 300.0  # seconds: its imports alone take some
EXAMPLES = int(os.environ.get("SHIPIT_EXAMPLES", "80"))  # thousands, where there is time


class Ansible:
    """The reference process; see ansible_reference.py."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(
        self,
        sources: Sequence[str],
        selections: Sequence[Selection] = (),
        *,
        playbook: str = "",
        vault: str = "",
    ) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        request = {"sources": list(sources), "selections": list(selections)}
        request |= {"playbook": playbook, "vault": vault}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def hermetic(config: Path) -> dict[str, str]:
    """Return an environment in which no setting of this machine reaches Ansible."""
    config.write_text("")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    home = str(config.parent)
    return {**kept, "ANSIBLE_CONFIG": str(config), "HOME": home, "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="module")
def ansible(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ansible]:
    folder = tmp_path_factory.mktemp("ansible")
    command = [sys.executable, str(TESTS / "support/ansible_reference.py")]
    with (
        (folder / "stderr").open("w") as stderr,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=hermetic(folder / "ansible.cfg"),
        ) as process,
    ):
        yield Ansible(process)
        process.communicate(timeout=PATIENCE)


def as_json(value: object) -> Any:  # noqa: ANN401 - what JSON can hold
    return json.loads(json.dumps(value, default=str))


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files; the ones that begin with #! can be run."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)


def compare(
    ansible: Ansible, folder: Path, sources: Sequence[str], selections: Sequence[Selection] = ()
) -> Inventory:
    """Assert that both read the same; return ours."""
    paths = [source if "," in source else str(folder / source) for source in sources]
    theirs = ansible.ask(paths, selections)
    assert theirs["warnings"] == [], "Ansible does not accept this inventory"
    ours = load([Path(path) for path in paths])
    assert [host.name for host in ours.hosts] == theirs["hosts"]
    assert as_json(ours.groups) == theirs["groups"]
    assert {host.name: as_json(host.vars) for host in ours.hosts} == theirs["vars"]
    for host in ours.hosts:
        assert list(host.groups) == theirs["vars"][host.name]["group_names"]
    for (pattern, limit), answer in zip(selections, theirs["selections"], strict=True):
        compare_selection(ours, pattern, limit, answer)
    return ours


def compare_selection(
    ours: Inventory, pattern: str, limit: str | None, theirs: dict[str, Any]
) -> None:
    about = f"{pattern} limited to {limit}: {theirs}"
    try:
        chosen = [host.name for host in ours.select(pattern, limit)]
    except InputError:
        chosen = []
    if not chosen and theirs["warnings"]:  # Ansible goes on with what it knows, we refuse
        return
    assert chosen == theirs["hosts"], about
    parts = (pattern + "," + (limit or "")).replace(":", ",").split(",")
    assert not theirs["warnings"] or any(part.startswith("!") for part in parts), about


NESTED = """
all:
  vars: {a: all, b: all, answer: 42, flag: yes, when: 2024-01-31, text: "{{ a }}/x"}
  hosts:
    alone: {b: own}
  children:
    eu:
      vars: {b: eu, c: eu}
      children:
        web:
          vars: {c: web, ansible_group_priority: 5}
          hosts:
            web[01:03].example.com:2222: {n: 1}
            web[1:9:4]: {}
        db:
          vars: {c: db}
          hosts: db-[a:c]
    us:
      vars: {c: us}
      hosts:
        web1:
        10.0.0.[1:2]: {x: [1, 2, {y: null}]}
        "::1":
staging:
  hosts: {web5: {n: 2}}
  children: {db: }
"""

INI = (
    """
alone          ; a comment is none here=1
""".replace("; a comment is none here=1", "x='a b' y=1 z=[1,2] s=\"{'k': (1, 2)}\" # comment")
    + """
other:2222 flag=True word=true empty= quoted="'1'"
[web]
web[01:03].example.com n=1
web1 path=C:\\\\dir
[db:children]
pg
my
[web:vars]
a = 1
b = "two # not a comment"
c = three # still text
d = b'bytes'
e = 0x10
f = {{ a }}
ansible_group_priority = 3
[all:vars]
everywhere=1
; a comment
[my]
m[a:c]
[pg]
p[1:10:3]
web1
"""
)

SCRIPT_WITH_META = """#!/bin/sh
[ "$1" = --list ] || exit 9
cat <<'END'
{"web": {"hosts": ["w1", "w2"], "vars": {"a": 1}, "children": ["inner"]},
 "inner": {"hosts": ["w3"]}, "old": ["w1"], "all": {"vars": {"z": [1]}},
 "_meta": {"hostvars": {"w1": {"b": "{{ x }}"}, "nowhere": {"c": 1}}}}
END
"""

SCRIPT_WITHOUT_META = """#!/bin/sh
case "$1" in
  --list) echo '{"web": {"hosts": ["w1", "w2"]}}' ;;
  --host) [ "$2" = w1 ] && echo "{\\"name\\": \\"$2\\"}" ;;
esac
exit 0
"""

PATTERNS: list[Selection] = [
    ("all", None),
    ("web:&eu:!web1", None),
    ("web,db", None),
    ("!web", None),
    ("&web", "!web1"),
    ("w*", None),
    ("w*[0:2]", None),
    ("*.example.com", None),
    ("~(web|db)-?[a1].*", None),
    ("web[0]", None),
    ("web[-1]", None),
    ("web[1:]", None),
    ("web[0:1]", None),
    ("web[0:0]", None),
    ("web[9]", None),
    ("web[7:9]", None),
    ("eu:us", "us:web1"),
    ("ungrouped", None),
    ("alone:all", None),
    ("::1", None),
    ("10.0.0.1,web1", None),
    ("localhost", None),
    ("127.0.0.1:alone", None),
    ("nobody", None),
    ("all:!nobody*", None),
    ("web[1-3]", None),
    ("~[", None),
    (" web1 , db ", "all"),
    ("web?", "web[0:3]"),
    ("[w]eb", None),
]


def test_nested_groups_ranges_and_patterns_mean_the_same(ansible: Ansible, tmp_path: Path) -> None:
    write(tmp_path, {"hosts.yaml": NESTED})
    ours = compare(ansible, tmp_path, ["hosts.yaml"], PATTERNS)
    assert len(ours.hosts) == 13


def test_an_ini_inventory_means_the_same(ansible: Ansible, tmp_path: Path) -> None:
    write(tmp_path, {"hosts": INI, "prod.ini": INI})
    compare(ansible, tmp_path, ["hosts"], PATTERNS)
    compare(ansible, tmp_path, ["prod.ini"])


def test_executables_mean_the_same(ansible: Ansible, tmp_path: Path) -> None:
    write(tmp_path, {"meta.sh": SCRIPT_WITH_META, "plain": SCRIPT_WITHOUT_META})
    compare(ansible, tmp_path, ["meta.sh"])
    ours = compare(ansible, tmp_path, ["plain", "meta.sh"])
    assert ours.hosts[0].vars["name"] == "w1"


def test_a_list_of_hosts_means_the_same(ansible: Ansible, tmp_path: Path) -> None:
    compare(ansible, tmp_path, ["localhost,"], [("127.0.0.1", None), ("all", None)])
    compare(ansible, tmp_path, ["web1, web2:2222,10.0.0.1"], [("web*", None)])


def test_files_of_variables_mean_the_same(ansible: Ansible, tmp_path: Path) -> None:
    files = {
        "inv/hosts.yml": NESTED,
        "inv/group_vars/all": "a: file\nb: file",
        "inv/group_vars/web.yml": "c: web.yml\nd: web.yml",
        "inv/group_vars/web.json": '{"c": "never read"}',
        "inv/group_vars/eu/10.yml": "c: eu/10\nd: eu/10",
        "inv/group_vars/eu/05": "d: eu/05\ne: eu/05",
        "inv/group_vars/eu/deeper/z.json": '{"f": 1e3}',
        "inv/group_vars/eu/.hidden.yml": "f: hidden",
        "inv/group_vars/eu/notes.txt": "no variables",
        "inv/group_vars/eu/old.yml~": "f: backup",
        "inv/group_vars/us.yaml": "---\n# nothing\n",
        "inv/host_vars/web1.yml": "n: file\nansible_host: 192.0.2.1",
        "inv/host_vars/web01.example.com": "n: file",
        "more/hosts": "[web]\nweb1 n=ini\nnew",
        "more/group_vars/all.yml": "a: more",
        "more/group_vars/db.yml": "c: more",
        "more/host_vars/web1.yml": "n: more",
    }
    write(tmp_path, files)
    compare(ansible, tmp_path, ["inv/hosts.yml"])
    compare(ansible, tmp_path, ["inv/hosts.yml", "more/hosts"])
    compare(ansible, tmp_path, ["more/hosts", "inv/hosts.yml", "more/hosts"])
    compare(ansible, tmp_path, ["inv", "more"])


def test_a_directory_of_inventories_means_the_same(ansible: Ansible, tmp_path: Path) -> None:
    files = {
        "inv/20-static": INI,
        "inv/10.yml": NESTED.replace("alone", "lonely"),
        "inv/30-script": SCRIPT_WITH_META,
        "inv/sub/more": "[web]\ndeep",
        "inv/sub/group_vars/web.yml": "never: read",
        "inv/group_vars/web.yml": "c: file",
        "inv/README.md": "Hosts: {",
        "inv/old.bak": "[",
        "inv/.hidden": "[",
    }
    write(tmp_path, files)
    compare(ansible, tmp_path, ["inv"], PATTERNS)


@pytest.mark.parametrize("name", ["hosts.yml", "hosts.json", "hosts"])
def test_a_data_file_that_can_be_run_is_read(ansible: Ansible, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"web": {"hosts": {"w1": {"a": 1e2}}}}')
    (tmp_path / name).chmod(0o755)
    ours = load([tmp_path / name])
    assert as_json(ours.groups) == ansible.ask([str(tmp_path / name)])["groups"]


def test_the_command_line_tool_says_the_same(tmp_path: Path) -> None:
    write(tmp_path, {"hosts.yaml": NESTED, "group_vars/web.yml": "c: file"})
    tool = Path(sys.executable).with_name("ansible-inventory")
    command = [str(tool), "-i", str(tmp_path / "hosts.yaml"), "--list"]
    env = hermetic(tmp_path / "ansible.cfg")
    run = subprocess.run(
        command, env=env, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    theirs = json.loads(run.stdout)["_meta"]["hostvars"]
    about_itself = ("inventory_file", "inventory_dir", "inventory_hostname", "group_names")
    hidden = {*about_itself, "inventory_hostname_short"}
    ours = {
        host.name: {name: value for name, value in as_json(host.vars).items() if name not in hidden}
        for host in load([tmp_path / "hosts.yaml"]).hosts
    }
    assert {n: {k: v for k, v in vs.items() if k not in hidden} for n, vs in theirs.items()} == ours


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES < 1000,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(case=cases())
@example(case=Case({"h": "[web:children]\ndb\n[db]\nw1\n[eu:children]\nweb"}, ["h"], []))
def test_generated_inventories_mean_the_same(ansible: Ansible, case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), case.files)
        compare(ansible, Path(folder), case.sources, case.selections)
