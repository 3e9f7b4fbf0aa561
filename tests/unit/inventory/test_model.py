"""What the inventory refuses and how it says so; its meaning is compared with Ansible elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from project import TOP
from shipit.errors import InputError
from shipit.inventory import formats
from shipit.inventory.grouping import Grouping
from shipit.inventory.model import Host, Inventory, load


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755 if text.startswith("#!") else 0o644)
    return path


def mistakes(*sources: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(sources)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_the_example_inventory_is_read() -> None:
    inventory = load([TOP / "inventory.example.yaml"])
    assert [host.name for host in inventory.select("web")] == [
        "web1.example.com",
        "web2.example.com",
    ]
    assert inventory.hosts[0].groups == ("web",)
    assert inventory.hosts[0].vars["ansible_become"] is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all:\n  host: {w1: }", "x.yaml:2:3: unknown key 'host' in the group 'all'"),
        ("all:\n  host: {w1: }", "did you mean 'hosts'?"),
        ("hosts:\n  w1:", "put it under `all:`"),
        ("all: [w1]", "x.yaml:1:1: the group 'all' must be a mapping"),
        (
            "all:\n  hosts:\n  - w1",
            "`hosts` of the group 'all' must be a mapping, one entry a line",
        ),
        ("all:\n  vars: x", "`vars` of the group 'all' must be a mapping"),
        ("all:\n  hosts: {w1: text}", "x.yaml:2:11: the variables of 'w1' must be a mapping"),
        ("all:\n  hosts:\n    42:", "x.yaml:3:5: a host's name must be text, not 42"),
        ("all:\n  hosts:\n    w[2:1]:", "x.yaml:3:5: 'w[2:1]' is not a host: the range"),
        ("yes: {hosts: {w1: }}", "x.yaml:1:1: a group's name must be text, not True"),
        ("all: {vars: {1: x}}", "x.yaml:1:14: a variable's name must be text, not 1"),
        ("a: {vars: {ansible_group_priority: high}}", "must be a whole number, not 'high'"),
        ("a: {children: {b: {children: {a: }}}}", "x.yaml:1:16: the group 'b' cannot be under 'a'"),
        ("a: {children: {a: }}", "x.yaml:1:16: the group 'a' cannot be under 'a'"),
        ("a: {children: {all: }}", "x.yaml:1:16: the group 'all' cannot be under 'a'"),
        ("a: {children: {ungrouped: }}", "x.yaml:1:16: 'ungrouped' cannot be under 'a'"),
        ("w: {hosts: {w: , v: }}", "x.yaml:1:13: 'w' is the name of both a group and a host"),
        ("- w1", "x.yaml:1:1: an inventory must be a mapping of groups, not a list"),
        ("all: {vars: {a: 1, a: 2}}", "x.yaml:1:20: the key 'a' is given twice"),
        ("all:\n hosts: }", "x.yaml:2:9: "),
    ],
)
def test_a_mistake_in_yaml_is_reported_with_its_place(text: str, expected: str) -> None:
    assert expected in "\n".join(mistakes(write("x.yaml", text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[web]\nw1 a", "hosts:2:1: expected key=value after the host's name, found 'a'"),
        ("[web]\nansible_host=w1", "hosts:2:1: 'ansible_host=w1' is not a host"),
        ("[web]\n  w1 'a", "hosts:2:3: 'w1 'a' is not a host: No closing quotation"),
        ("[web:childern]\nx", "did you mean 'children'?"),
        ("[a b]", "hosts:1:1: [a b] is not a section"),
        ("[web]\n[db:children]\nwbe", "hosts:3:1: [db:children] names the group 'wbe'"),
        ("[web]\n[db:children]\nwbe", "did you mean 'web'?"),
        ("[web]\n[db:children]\nw e", "hosts:3:1: expected a group's name, found 'w e'"),
        ("[web:vars]\na=1", "hosts:1:1: [web:vars] is for the group 'web', which is not"),
        ("[all:vars]\nnovalue", "hosts:2:1: expected key=value, found 'novalue'"),
        ("[all:vars]\n=1", "hosts:2:1: a variable's name must be text, not ''"),
        ("[a:children]\nb\n[b:children]\na", "hosts:4:1: the group 'a' cannot be under 'b'"),
    ],
)
def test_a_mistake_in_ini_is_reported_with_its_place(text: str, expected: str) -> None:
    assert expected in "\n".join(mistakes(write("hosts", text)))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo no credentials >&2; exit 3", "exited with status 3 on --list"),
        ("echo no credentials >&2; exit 3", "no credentials"),
        ("echo '{'", "the answer to --list is not JSON"),
        ("echo '[]'", "the answer to --list must be a JSON object, not list"),
        ("""echo '{"web": {}}'""", "the group 'web' has none of hosts, children, vars"),
        ("""echo '{"web": {"hosts": "w1"}}'""", "'web.hosts' must be a list of names"),
        ("""echo '{"web": ["w1"], "_meta": {"hostvars": []}}'""", "_meta.hostvars must be a JSON"),
        ("""[ "$1" = --host ] && exit 4; echo '{"web": ["w1"]}'""", "status 4 on --host w1"),
    ],
)
def test_a_script_that_fails_is_reported(script: str, expected: str) -> None:
    assert expected in "\n".join(mistakes(write("x.sh", f"#!/bin/sh\n{script}\n")))


def test_a_script_that_cannot_be_run_is_reported() -> None:
    expected = mistakes(write("x", "#!/nowhere/python\n"))
    assert expected == [
        "x: the inventory script cannot be run: No such file or directory [inventory-script]"
    ]


def test_a_script_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "SCRIPT_SECONDS", 0.05)
    script = write("x.sh", "#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(InputError, match=r"did not answer --list within 0.05 s"):
        formats.read(Grouping(), script)


def test_all_mistakes_of_all_sources_are_reported_at_once() -> None:
    first = write("a.yaml", "all: {host: {}, vars: 3}")
    second = write("b", "[web]\nw1 x\n")
    assert [line.split(" ")[0] for line in mistakes(first, second, Path("none.yaml"))] == [
        "a.yaml:1:7:",
        "a.yaml:1:17:",
        "b:2:1:",
        "none.yaml:",
    ]


def test_mistakes_in_files_of_variables_are_reported() -> None:
    source = write("hosts", "[web]\nw1\nw2\n")
    write("group_vars/web.yml", "- a\n")
    write("group_vars/all.yml", "$ANSIBLE_VAULT;1.1;AES256\n33")  # cut off
    write("host_vars/w1.yml", "a: 1\n2: x\n")
    expected = "\n".join(mistakes(source))
    assert "group_vars/web.yml:1:1: a file of variables must be a mapping" in expected
    assert "group_vars/all.yml:1:1: it is damaged" in expected
    assert "host_vars/w1.yml:2:1: a variable's name must be text, not 2" in expected
    assert expected.count("group_vars/web.yml") == 1


def test_group_vars_that_is_a_file_is_reported_once() -> None:
    source = write("hosts", "[web]\nw1\nw2\n")
    write("group_vars", "a: 1\n")
    (expected,) = mistakes(source)
    assert expected.endswith("group_vars: group_vars must be a directory [inventory-vars]")


@pytest.mark.parametrize(
    ("name", "text"),
    [("hosts.toml", "[web.hosts]\nw1 = {}\n"), ("aws_ec2.yml", "plugin: aws_ec2\nregions: [x]\n")],
)
def test_what_only_ansible_reads_is_refused_with_a_hint_where_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv("PATH", "")
    (expected,) = mistakes(write(name, text))
    assert f"{name}: this inventory can only be read by Ansible" in expected
    assert f"ansible-inventory -i {name} --list --export > inventory.json" in expected


def test_a_group_of_the_host_of_its_own_name_is_that_host() -> None:
    inventory = load([write("hosts", "[w1]\nw1 a=1\n[web:children]\nw1\n")])
    assert [host.name for host in inventory.select("w1")] == ["w1"]
    assert inventory.hosts[0].groups == ("w1", "web")


def test_a_script_without_its_run_bit_is_reported_in_one_message() -> None:
    path = write("x.py", "#!/usr/bin/env python3\nimport json\nprint(json.dumps({}))\n")
    path.chmod(0o644)
    (expected,) = mistakes(path)
    assert expected.startswith("x.py:1:1: this begins like a script (#!), but is not executable")
    assert "chmod +x x.py" in expected
    path = write("hosts", "#!/usr/bin/env ansible-inventory -i\nw1\n")
    path.chmod(0o644)
    assert load([path]).hosts[0].name == "w1"  # there it is a comment


def test_a_name_too_long_for_a_file_has_no_files() -> None:
    name = "w" * 5000
    write("host_vars/w1.yml", "a: 1")
    assert load([write("hosts", f"{name} b=1\n")]).hosts[0].vars["b"] == 1


def test_an_empty_inventory_has_no_hosts_and_no_selection() -> None:
    inventory = load([write("hosts.yaml", "")])
    assert inventory.hosts == ()
    with pytest.raises(InputError, match="no-hosts"):
        inventory.select("all")


def test_localhost_is_known_without_an_inventory_and_takes_the_variables_of_all() -> None:
    source = write("hosts", "[web]\nw1\n[all:vars]\na=1\n")
    write("host_vars/localhost.yml", "b: 2\n")
    (host,) = load([source]).select("localhost")
    assert host.vars == {
        "a": 1,
        "b": 2,
        "ansible_connection": "local",
        "group_names": [],
        "inventory_hostname": "localhost",
        "inventory_hostname_short": "localhost",
    }
    assert host not in load([source]).select("all")


def test_a_host_named_by_its_other_localhost_name_is_the_same_host() -> None:
    (host,) = load([Path("localhost,")]).select("127.0.0.1")
    assert host.name == "localhost"


def test_variables_may_be_secret_and_are_not_shown() -> None:
    (host,) = load([write("hosts", "w1 ansible_become_password=hunter2\n")]).hosts
    assert host.vars["ansible_become_password"] == "hunter2"
    assert "hunter2" not in repr(host)
    assert len({host, host}) == 1


def test_an_inventory_made_by_hand_can_be_selected_from() -> None:
    hosts = (Host("b", ("g",), {}), Host("a", ("g",), {}))
    inventory = Inventory(hosts, {"all": ("b", "a"), "g": ("b", "a")})
    assert inventory.select("g:!a") == hosts[:1]


def test_a_large_inventory_is_no_matter() -> None:
    text = (
        "all: {children: {web: {hosts: {'w[0001:5000]': {a: 1}}}, eu: {hosts: {'w[0001:5000]': }}}}"
    )
    inventory = load([write("hosts.yaml", text)])
    assert len(inventory.select("w*:&eu:!w0001")) == 4999
