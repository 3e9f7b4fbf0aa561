"""Which hosts a rehearsal covers; its inventory reaches no real host."""

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


def assigned(folder: Path, pattern: str, *, before: Inventory) -> Inventory:
    """Read the inventory in which machines replace the hosts of a pattern."""
    chosen = before.select(pattern)
    text = hosts.inventory_text(before, chosen, {host.name: MACHINE for host in chosen})
    return known(folder, text)


def test_every_host_gets_a_machine_up_to_the_limit() -> None:
    assignment = assign([["a", "b"], ["b", "c"]])
    assert list(assignment.machines) == ["a", "b", "c"]
    assert assignment.left_out == ()


def test_beyond_the_limit_the_first_hosts_are_assigned() -> None:
    assignment = assign([["a", "b", "c", "d", "e", "f"]])
    assert list(assignment.machines) == ["a", "b", "c", "d"]
    assert assignment.left_out == ("e", "f")


def test_every_deployment_keeps_a_host() -> None:
    assignment = assign([["a", "b", "c"], ["d", "a"]], most=2)
    assert list(assignment.machines) == ["a", "d"]
    assert list(assign([["a"], ["b"], ["c"]], most=2).machines) == ["a", "b", "c"]


def test_only_chosen_hosts_of_a_deployment_are_assigned() -> None:
    assignment = assign([["a", "b", "c"], ["d", "e"]], {"b", "c", "x"})
    assert list(assignment.machines) == ["b", "c", "d"]  # none of the second was chosen
    assert assignment.left_out == ("a", "e")


def test_all_chosen_hosts_are_assigned_whatever_the_limit() -> None:
    assignment = assign([["a", "b", "c", "d", "e", "f", "g"]], {"a", "b", "c", "d", "e", "g"})
    assert list(assignment.machines) == ["a", "b", "c", "d", "e", "g"]
    assert assignment.left_out == ("f",)


def test_without_a_chosen_host_of_the_playbook_the_first_hosts_are_assigned() -> None:
    assert assign([["a", "b", "c", "d", "e"]], {"x"}) == assign([["a", "b", "c", "d", "e"]])


def test_a_machine_is_named_after_its_host() -> None:
    names = ["web1.example.com", "Web_2"]
    assert assign([names]).machines == {"web1.example.com": "web1.example.com", "Web_2": "web-2"}


def test_invalid_or_duplicate_machine_names_are_numbered() -> None:
    assert assign([["web_1", "web-1"]]).machines == {"web_1": "machine1", "web-1": "machine2"}
    assert assign([["localhost"]]).machines == {"localhost": "machine1"}
    assert assign([["::"]]).machines == {"::": "machine1"}


def test_groups_and_variables_stay_and_connections_do_not(tmp_path: Path) -> None:
    before = known(tmp_path)
    after = assigned(tmp_path, "web", before=before)
    assert {name: set(pattern) for name, pattern in after.groups.items()} == {
        name: set(pattern) for name, pattern in before.groups.items()
    }
    for host in after.hosts:
        assert host.groups == ("eu", "web")
        assert (host.vars["greeting"], host.vars["weight"]) == ("hello", 2)
        assert hosts.connection_of(host) == MACHINE


def test_no_real_host_can_be_reached(tmp_path: Path) -> None:
    before = known(tmp_path)
    after = assigned(tmp_path, "web2.example.com", before=before)
    ways = {host.name: hosts.connection_of(host) for host in after.hosts}
    nowhere = {"ansible_host": NOWHERE}
    assert ways == {
        "web1.example.com": nowhere,
        "web2.example.com": MACHINE,
        "web3.example.com": nowhere,
    }


def test_patterns_mean_the_same_hosts(tmp_path: Path) -> None:
    before = known(tmp_path)
    after = assigned(tmp_path, "web", before=before)
    for pattern in ("web[1]", "eu:!web3*", "all"):
        assert [h.name for h in after.select(pattern)] == [h.name for h in before.select(pattern)]


def test_localhost_is_replaced_by_a_machine_too(tmp_path: Path) -> None:
    after = assigned(tmp_path, "localhost", before=known(tmp_path))
    (host,) = after.select("localhost")
    assert hosts.connection_of(host) == MACHINE
