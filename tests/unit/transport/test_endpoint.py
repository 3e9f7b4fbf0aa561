from __future__ import annotations

import base64

import pytest

from shipit.errors import InputError
from shipit.inventory.model import Host
from shipit.secrets import Secret
from shipit.transport.endpoint import Endpoint, endpoint

KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"k" * 32).decode()


def read(**variables: object) -> Endpoint:
    return endpoint(Host("web1", (), variables))


def mistakes(**variables: object) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(**variables)
    assert {mistake.code for mistake in caught.value.mistakes} == {"host-variable"}
    return [mistake.what for mistake in caught.value.mistakes]


def test_a_host_without_variables_is_reached_by_its_name() -> None:
    assert read() == Endpoint(name="web1", address="web1")


def test_ansibles_variables_are_understood() -> None:
    found = read(
        ansible_host="10.0.0.1",
        ansible_port="2222",
        ansible_user="deploy",
        ansible_password="sentinel",
        ansible_ssh_private_key_file="/keys/id",
        ansible_become="yes",
        ansible_become_user="root",
        ansible_become_pass=1234,
        ansible_python_interpreter="/opt/python3",
        ansible_ssh_timeout=3,
        shipit_host_key=f"{KEY} root@web1",
    )
    assert found == Endpoint(
        name="web1",
        address="10.0.0.1",
        port=2222,
        user="deploy",
        password=Secret("sentinel"),
        key_files=("/keys/id",),
        become=True,
        become_password=Secret("1234"),
        python="/opt/python3",
        connect_timeout=3.0,
        host_key=KEY,
    )
    assert "sentinel" not in repr(found)


@pytest.mark.parametrize(
    ("arguments", "jump", "command"),
    [
        ("-J bastion", "bastion", None),
        ("-Ja,b@c:22", "a,b@c:22", None),
        ("-o ProxyJump=bastion", "bastion", None),
        ("-oProxyJump=bastion", "bastion", None),
        ("-o 'ProxyCommand=ssh -W %h:%p bastion'", None, "ssh -W %h:%p bastion"),
        ("-o 'ProxyCommand ssh -W %h:%p bastion'", None, "ssh -W %h:%p bastion"),
        ("-o proxyjump=a -o ProxyJump=b", "a", None),  # as ssh: the first one counts
        ("-o ProxyCommand='nc %h %p' -J b", None, "nc %h %p"),
        ("-J a -o ProxyCommand=nc", "a", None),
        ("-C -q -vv -A -J bastion", "bastion", None),
        ("-CAJbastion", "bastion", None),
        ("-o ControlMaster=auto -o ControlPersist=60s -J bastion", "bastion", None),
        ("", None, None),
    ],
)
def test_jump_hosts_are_read_from_the_ssh_arguments(
    arguments: str, jump: str | None, command: str | None
) -> None:
    for name in ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"):
        found = read(**{name: arguments})
        assert (found.proxy_jump, found.proxy_command) == (jump, command)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("-o StrictHostKeyChecking=no", "'stricthostkeychecking'"),
        ("-F other.config", "'-F'"),
        ("-o UserKnownHostsFile=/dev/null", "'userknownhostsfile'"),
        ("-L 80:a:80", "'-L'"),
        ("-4", "'-4'"),
        ("-J", "-J needs a value"),
        ("bastion", "'bastion'"),
        ("-o 'unclosed", "No closing quotation"),
    ],
)
def test_other_ssh_arguments_are_refused_by_name(arguments: str, named: str) -> None:
    [what] = mistakes(ansible_ssh_common_args=arguments)
    assert named in what
    assert "ansible_ssh_common_args" in what


def test_all_wrong_variables_are_reported_together() -> None:
    found = mistakes(
        ansible_port="ssh",
        ansible_become="perhaps",
        ansible_become_user="postgres",
        ansible_become_method="doas",
        ansible_connection="winrm",
        ansible_user=["a"],
        ansible_python_interpreter="/usr/bin/env -S python3 -u",
        ansible_ssh_timeout=-1,
        shipit_host_key="SHA256:abc",
    )
    assert len(found) == 9
    assert all(what.startswith("host web1: ") for what in found)


def test_a_password_of_the_wrong_type_is_not_shown() -> None:
    [what] = mistakes(ansible_become_password=["sentinel"])
    assert "sentinel" not in what
    assert "ansible_become_password" in what


@pytest.mark.parametrize("port", [0, 65536, True, 22.0, "²"])
def test_a_port_is_a_number_from_1_to_65535(port: object) -> None:
    assert "ansible_port" in mistakes(ansible_port=port)[0]


def test_the_hosts_own_sudo_password_overrides_the_general_one() -> None:
    general = Secret("general")
    plain, own = Host("a", (), {}), Host("b", (), {"ansible_sudo_pass": "own"})
    assert endpoint(plain, become_password=general).become_password == general
    assert endpoint(own, become_password=general).become_password == Secret("own")


@pytest.mark.parametrize("word", ["auto", "auto_silent", "auto_legacy", "auto_legacy_silent"])
def test_an_automatic_interpreter_is_found_on_the_host(word: str) -> None:
    assert read(ansible_python_interpreter=word).python is None


def test_local_is_ansibles_local() -> None:
    assert read(ansible_connection="local").connection == "local"
    assert read(ansible_connection="ansible.builtin.local").connection == "local"
    assert read(ansible_connection="smart").connection == "ssh"


def test_templates_in_variables_are_rendered() -> None:
    host = Host("web1", (), {"ansible_host": "{{ a }}", "ansible_port": "{{ p }}"})
    values = {"{{ a }}": "10.0.0.9", "{{ p }}": 2200}
    found = endpoint(host, render=lambda value: values[str(value)])
    assert (found.address, found.port) == ("10.0.0.9", 2200)


def test_of_several_names_of_a_variable_the_one_that_ansible_takes_counts() -> None:
    found = read(
        ansible_host="new",
        ansible_ssh_host="old",
        ansible_user="new",
        ansible_ssh_user="old",
        ansible_port=1,
        ansible_ssh_port=2,
        ansible_private_key_file="/new",
        ansible_ssh_private_key_file="/old",
    )
    assert (found.address, found.user, found.port) == ("old", "old", 2)
    assert found.key_files == ("/old",)


def test_user_port_and_keys_of_ssh_arguments_have_ansibles_precedence() -> None:
    own = {"ansible_user": "var", "ansible_port": 22, "ansible_private_key_file": "/var"}
    words = "-p 2200 -o User=args -i /args"
    before = read(ansible_ssh_args=words, **own)
    assert (before.user, before.port, before.key_files) == ("args", 2200, ("/args", "/var"))
    after = read(ansible_ssh_common_args=words, **own)
    assert (after.user, after.port, after.key_files) == ("var", 22, ("/var", "/args"))
    alone = read(ansible_ssh_extra_args="-l args -oPort=2200")
    assert (alone.user, alone.port) == ("args", 2200)


def test_jump_hosts_of_several_variables_have_the_precedence_of_ssh() -> None:
    found = read(ansible_ssh_args="-J a", ansible_ssh_common_args="-o ProxyCommand=nc")
    assert (found.proxy_jump, found.proxy_command) == ("a", None)
    found = read(ansible_ssh_extra_args="-J a", ansible_ssh_common_args="-o ProxyCommand=nc")
    assert (found.proxy_jump, found.proxy_command) == (None, "nc")


def test_an_empty_variable_is_not_set() -> None:
    found = read(
        ansible_user="",
        ansible_ssh_private_key_file="",
        ansible_ssh_args="",
        ansible_become_user="",
    )
    assert (found.user, found.key_files) == (None, ())


@pytest.mark.parametrize(
    ("word", "python"),
    [("/usr/bin/env python3", "python3"), ("/usr/bin/env python3.11", "python3.11")],
)
def test_an_interpreter_found_by_env_is_looked_up_by_name(word: str, python: str) -> None:
    assert read(ansible_python_interpreter=word).python == python


@pytest.mark.parametrize("method", ["sudo", "ansible.builtin.sudo"])
def test_sudo_is_known_by_both_names(method: str) -> None:
    assert read(ansible_become_method=method).name == "web1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ansible_host", "-oProxyCommand=touch /tmp/owned"),
        ("ansible_ssh_host", "-oProxyCommand=id"),
        ("ansible_host", "a`id`"),
        ("ansible_host", "a;id"),
        ("ansible_host", "$(id)"),
        ("ansible_host", "a b"),
        ("ansible_host", "a\nb"),
        ("ansible_user", "-oProxyCommand=id"),
        ("ansible_user", "a;id"),
        ("ansible_user", "a -oProxyCommand=id"),
        ("ansible_ssh_args", "-J -oProxyCommand=id"),
        ("ansible_ssh_common_args", "-J a,-oProxyCommand=id"),
        ("ansible_ssh_common_args", "-J '-oProxyCommand=id@a'"),
        ("ansible_ssh_common_args", "-J 'a;id'"),
        ("ansible_ssh_args", "-l -oProxyCommand=id"),
        ("ansible_ssh_args", "-p '-oProxyCommand=id'"),
    ],
)
def test_options_and_shell_characters_are_refused(name: str, value: str) -> None:
    assert mistakes(**{name: value})


def test_a_host_name_cannot_be_read_as_an_option() -> None:
    with pytest.raises(InputError, match="host-variable"):
        endpoint(Host("-oProxyCommand=id", (), {}))


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "::1", "fe80::1%eth0", "web_1.example.com", "bücher.de"]
)
def test_valid_addresses_and_names_are_accepted(address: str) -> None:
    assert read(ansible_host=address, ansible_user="DOM\\user").address == address
