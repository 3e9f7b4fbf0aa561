"""ansible.cfg and Ansible's variables: found, followed or named as Ansible would take them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shipit.cli import options
from shipit.errors import InputError
from shipit.inventory.ansible_cfg import AnsibleConfig
from shipit.inventory.ansible_cfg import load as config_of
from shipit.inventory.model import Host, Reading, load
from shipit.transport.endpoint import endpoint

FULL = """\
[defaults]
inventory = inventories/prod, ~/more
remote_user = deploy  ; a comment
remote_port = 2200
private_key_file = ~/.ssh/deploy
timeout = 25
hash_behaviour = merge
vault_password_file = .vault
vault_identity_list = dev@~/dev, prod@prod.txt
host_key_checking = False
forks = 50
[ssh_connection]
ssh_args = -C -o ControlMaster=auto -J bastion
[privilege_escalation]
become = True
become_user = root
[inventory]
enable_plugins = host_list, yaml
"""


def read(folder: Path, text: str | None = None, **environment: str) -> AnsibleConfig:
    if text is not None:
        (folder / "ansible.cfg").write_text(text)
    (folder / "home").mkdir(exist_ok=True)
    return config_of(environment, folder, folder / "home")


def test_the_settings_of_ansible_are_followed(tmp_path: Path) -> None:
    found = read(tmp_path, FULL)
    assert found.inventory == (tmp_path / "inventories/prod", Path("~/more").expanduser())
    assert found.merges
    assert found.vaults == (
        ("dev", Path("~/dev").expanduser()),
        ("prod", tmp_path / "prod.txt"),
        ("", tmp_path / ".vault"),
    )
    place = endpoint(Host("w1", (), {"ansible_port": 22}, defaults=found.variables))
    assert (place.user, place.port, place.connect_timeout) == ("deploy", 22, 25.0)
    assert (place.proxy_jump, place.become) == ("bastion", True)
    assert place.key_files == (str(Path("~/.ssh/deploy").expanduser()),)


def test_what_is_not_followed_is_named_and_what_does_not_matter_is_not(tmp_path: Path) -> None:
    notes = read(tmp_path, FULL).notes
    assert [note.split(": ")[1].split(" is not")[0] for note in notes] == [
        "host_key_checking = False",
        "enable_plugins = host_list, yaml",
    ]


def test_a_variable_of_the_environment_wins(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        FULL,
        ANSIBLE_REMOTE_USER="other",
        ANSIBLE_INVENTORY="here",
        ANSIBLE_VAULT_PASSWORD_FILE="/run/pw",
        ANSIBLE_HOST_KEY_CHECKING="True",
    )
    assert found.variables["ansible_user"] == "other"
    assert found.inventory == (Path("here"),)
    assert found.vaults[-1] == ("", Path("/run/pw"))
    assert len(found.notes) == 1


def test_the_file_is_looked_for_where_ansible_does(tmp_path: Path) -> None:
    user = "[defaults]\nremote_user = {}\n"
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.ansible.cfg").write_text(user.format("home"))
    (tmp_path / "named.cfg").write_text(user.format("named"))
    assert read(tmp_path).variables["ansible_user"] == "home"
    assert read(tmp_path, user.format("here")).variables["ansible_user"] == "here"
    named = str(tmp_path / "named.cfg")
    assert read(tmp_path, ANSIBLE_CONFIG=named).variables["ansible_user"] == "named"
    tmp_path.chmod(0o777)  # anybody could have put it there
    assert read(tmp_path).variables["ansible_user"] == "home"
    tmp_path.chmod(0o755)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ansible-config") as caught:
        read(tmp_path, "no section = 1\n")
    assert str(tmp_path / "ansible.cfg") in str(caught.value)


def test_its_inventory_is_read_where_none_is_named_and_none_lies_nearby(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    book = tmp_path / "book.yaml"
    book.touch()
    last = (tmp_path / "prod",)
    assert options.inventory(book, (), {}, last=last) == (Path("prod"),)
    (tmp_path / "hosts").touch()
    assert options.inventory(book, (), {}, last=last) == (Path("hosts"),)
    (tmp_path / "hosts").unlink()
    with pytest.raises(InputError, match="inventory-missing"):
        options.inventory(book, (), {})


@pytest.mark.parametrize("behaviour", ["replace", "merge"])
def test_mappings_are_merged_exactly_where_ansible_merges_them(
    tmp_path: Path, behaviour: str
) -> None:
    (tmp_path / "ansible.cfg").write_text(f"[defaults]\nhash_behaviour = {behaviour}\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "hosts").write_text("[web]\nw1 d=\"{'own': 1, 'deep': {'a': 1}}\"\n")
    (tmp_path / "group_vars/all.yml").write_text("d: {all: 1, deep: {a: 0, b: 2}}\n")
    (tmp_path / "group_vars/web.yml").write_text("d: {web: 1, deep: {c: 3}, list: [1]}\n")
    tool = Path(sys.executable).with_name("ansible-inventory")
    environment = {"HOME": str(tmp_path), "PATH": "", "LC_ALL": "C.UTF-8"}
    environment["ANSIBLE_CONFIG"] = str(tmp_path / "ansible.cfg")
    command = [str(tool), "-i", str(tmp_path / "hosts"), "--list"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout)["_meta"]["hostvars"]["w1"]["d"]
    (host,) = load(
        [tmp_path / "hosts"], Reading(config=config_of(environment, tmp_path, tmp_path))
    ).hosts
    assert host.vars["d"] == theirs
