"""Ansible's magic variables without facts: other hosts, groups, folders."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from shipit.errors import InputError
from shipit.inventory.model import Reading, load
from shipit.render import units

if TYPE_CHECKING:
    from pathlib import Path


def test_templates_know_other_hosts_groups_and_folders(tmp_path: Path) -> None:
    (tmp_path / "inv").mkdir()
    (tmp_path / "play").mkdir()
    (tmp_path / "inv/hosts").write_text(
        '[web]\nw1\nw2\n[db]\nd1 ansible_host=10.0.0.9 port="{{ 5000 + 432 }}"\n'
        "[all:vars]\nme={{ inventory_hostname }}\n"
    )
    hosts = load([tmp_path / "inv/hosts"], Reading(playbook_dir=tmp_path / "play")).hosts
    (host,) = (host for host in hosts if host.name == "w1")

    def value(template: str) -> object:
        return units.value(template, host, {"port": 1})

    assert value("{{ groups.db }}") == ["d1"]
    assert value("{{ groups['all'] | length }}") == 3
    assert (
        value("{{ hostvars['d1'].ansible_host }}:{{ hostvars['d1']['port'] }}") == "10.0.0.9:5432"
    )
    assert value("{{ hostvars[groups['db'][0]].me }} {{ me }}") == "d1 w1"
    assert (
        value("{% for h in groups.web %}{{ hostvars[h].inventory_hostname }} {% endfor %}")
        == "w1 w2 "
    )
    assert value("{{ hostvars.d1.nothing | default('none') }}") == "none"
    addresses = "{{ groups.db | map('extract', hostvars, 'ansible_host') | list }}"
    assert value(addresses) == ["10.0.0.9"]
    assert value("{{ playbook_dir }}") == str(tmp_path / "play")
    assert value("{{ inventory_dir }}") == str(tmp_path / "inv")
    assert value("{{ ansible_playbook_python }}") == sys.executable
    assert value("{{ port }}") == 1
    for template in ("{{ hostvars['d2'].x }}", "{{ hostvars.d1.nothing }}"):
        with pytest.raises(InputError, match="template-undefined"):
            value(template)
