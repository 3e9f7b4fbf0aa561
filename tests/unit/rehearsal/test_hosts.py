"""Who plays in a rehearsal, and that no real host can be reached by its inventory."""

from pathlib import Path

from shipit.inventory import model
from shipit.inventory.model import Inventory
from shipit.rehearsal import hosts
from shipit.rehearsal.hosts import NOWHERE, assign

HOSTS = """
all:
  vars: {greeting: hello, ansible_become_password: s3ntinel}
  children:
    eu:
      children:
        web:
          hosts:
            web[1:3].example.com: {ansible_host: 192.0.2.1, weight: 2}
          vars: {ansible_ssh_common_args: -o ProxyJump=bastion, shipit_host_key: ssh-rsa AAAA}
"""
MACHINE = {"ansible_host": "10.213.0.10", "ansible_user": "deploy"}


def known(folder: Path, text: str = HOSTS) -> Inventory:
    path = folder / "inventory.yaml"
    path.write_text(text)
    return model.load([path])


def played(folder: Path, pattern: str, *, before: Inventory) -> Inventory:
    """Read the inventory in which a machine plays each of these hosts."""
    chosen = before.select(pattern)
    text = hosts.inventory_text(before, chosen, {host.name: MACHINE for host in chosen})
    return known(folder, text)


def test_all_hosts_are_played_while_there_are_machines() -> None:
    made = assign([["a", "b"], ["b", "c"]])
    assert list(made.machines) == ["a", "b", "c"]
    assert made.left_out == ()


def test_of_many_hosts_the_first_are_played() -> None:
    made = assign([["a", "b", "c", "d", "e", "f"]])
    assert list(made.machines) == ["a", "b", "c", "d"]
    assert made.left_out == ("e", "f")


def test_every_deployment_keeps_a_host() -> None:
    made = assign([["a", "b", "c"], ["d", "a"]], most=2)
    assert list(made.machines) == ["a", "d"]
    assert list(assign([["a"], ["b"], ["c"]], most=2).machines) == ["a", "b", "c"]


def test_of_the_hosts_that_are_chosen_only_those_are_played() -> None:
    made = assign([["a", "b", "c"], ["d", "e"]], {"b", "c", "x"})
    assert list(made.machines) == ["b", "c", "d"]  # none of the second was chosen
    assert made.left_out == ("a", "e")


def test_the_hosts_that_are_chosen_are_all_played_however_many() -> None:
    made = assign([["a", "b", "c", "d", "e", "f", "g"]], {"a", "b", "c", "d", "e", "g"})
    assert list(made.machines) == ["a", "b", "c", "d", "e", "g"]
    assert made.left_out == ("f",)


def test_where_none_of_the_chosen_is_the_playbook_s_the_first_are_played() -> None:
    assert assign([["a", "b", "c", "d", "e"]], {"x"}) == assign([["a", "b", "c", "d", "e"]])


def test_a_machine_has_its_hosts_name_as_far_as_it_can() -> None:
    names = ["web1.example.com", "Web_2"]
    assert assign([names]).machines == {"web1.example.com": "web1.example.com", "Web_2": "web-2"}


def test_names_that_would_not_do_are_numbered() -> None:
    assert assign([["web_1", "web-1"]]).machines == {"web_1": "machine1", "web-1": "machine2"}
    assert assign([["localhost"]]).machines == {"localhost": "machine1"}
    assert assign([["::"]]).machines == {"::": "machine1"}


def test_groups_and_variables_stay_and_connections_do_not(tmp_path: Path) -> None:
    before = known(tmp_path)
    after = played(tmp_path, "web", before=before)
    assert {name: set(pattern) for name, pattern in after.groups.items()} == {
        name: set(pattern) for name, pattern in before.groups.items()
    }
    for host in after.hosts:
        assert host.groups == ("eu", "web")
        assert (host.vars["greeting"], host.vars["weight"]) == ("hello", 2)
        assert hosts.connection_of(host) == MACHINE


def test_no_real_host_can_be_reached(tmp_path: Path) -> None:
    before = known(tmp_path)
    after = played(tmp_path, "web2.example.com", before=before)
    ways = {host.name: hosts.connection_of(host) for host in after.hosts}
    nowhere = {"ansible_host": NOWHERE}
    assert ways == {
        "web1.example.com": nowhere,
        "web2.example.com": MACHINE,
        "web3.example.com": nowhere,
    }


def test_patterns_mean_the_same_hosts(tmp_path: Path) -> None:
    before = known(tmp_path)
    after = played(tmp_path, "web", before=before)
    for pattern in ("web[1]", "eu:!web3*", "all"):
        assert [h.name for h in after.select(pattern)] == [h.name for h in before.select(pattern)]


def test_localhost_is_played_by_a_machine_too(tmp_path: Path) -> None:
    after = played(tmp_path, "localhost", before=known(tmp_path))
    (host,) = after.select("localhost")
    assert hosts.connection_of(host) == MACHINE
