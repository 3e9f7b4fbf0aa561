"""What the real ansible-vault encrypts is opened, late, and its values stay secret."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shipit.cli import options
from shipit.errors import InputError, Place
from shipit.inventory.ansible_cfg import AnsibleConfig
from shipit.inventory.model import Host, Reading, load
from shipit.playbook import reader
from shipit.release import inputs
from shipit.render import templating, units
from shipit.render.release_names import ReleaseNames
from shipit.render.templating import TemplateFaultError, Variables
from shipit.secrets import Secret
from shipit.transport.endpoint import endpoint
from shipit.vault import Envelope, Passwords, Source, Vaulted, password_of
from shipit.vault import sealed as sealed_by_us
from shipit.yaml_source import parse
from shipit.yaml_tags import mapped

if TYPE_CHECKING:
    from shipit.playbook.models import Deployment

TOOL = Path(sys.executable).with_name("ansible-vault")
PASSWORD = "correct horse"
SENTINEL = "s3ntinel"
HERE = Place("here")
RELEASE = ReleaseNames("1.0.0-00000000", "1.0.0", "/opt/demo/releases/1.0.0-00000000")
BOOK = """\
app: demo
hosts: all
wheel: app.whl
lock: app.whl
wheelhouse: .
services: {web: {command: serve}}
"""


def knows(*words: str) -> Passwords:
    return Passwords([Source("", lambda word=word: Secret(word)) for word in words])  # type: ignore[misc]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Encrypt some texts by the real program: without a vault id (1.1), and with one (1.2)."""
    folder = tmp_path_factory.mktemp("vault")
    password = folder / "password"
    password.write_text(f"{PASSWORD}\n")
    ways = {
        "plain": ["--vault-password-file", str(password)],
        "prod": ["--vault-id", f"prod@{password}", "--encrypt-vault-id", "prod"],
    }
    return {
        name: subprocess.run(
            [str(TOOL), "encrypt", "--output", "-", *way],
            input=SENTINEL,
            env={"HOME": str(folder), "PATH": "", "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name, way in ways.items()
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.whl").touch()
    return tmp_path


def vaulted(sealed: dict[str, str], *words: str) -> Vaulted:
    return Vaulted(sealed["plain"], HERE, knows(*words))


def code_of(error: InputError) -> str:
    return error.mistakes[0].code


def forged(text: str) -> str:
    """Change one bit of the ciphertext: the HMAC no longer fits."""
    head, *body = text.splitlines()
    inner = bytes.fromhex("".join(body)).decode()
    last = "1" if inner[-1] == "0" else "0"
    return f"{head}\n{(inner[:-1] + last).encode().hex()}\n"


# --- the format -------------------------------------------------------------------------------


def test_both_versions_of_the_format_are_decrypted(sealed: dict[str, str]) -> None:
    assert [sealed[name].split()[0] for name in ("plain", "prod")] == [
        "$ANSIBLE_VAULT;1.1;AES256",
        "$ANSIBLE_VAULT;1.2;AES256;prod",
    ]
    for text in sealed.values():
        assert knows("wrong", PASSWORD).open(text, HERE) == SENTINEL


def test_the_password_of_the_vault_id_is_asked_for_first(sealed: dict[str, str]) -> None:
    asked: list[str] = []

    def source(label: str) -> Source:
        def ask() -> Secret:
            asked.append(label)
            return Secret(PASSWORD if label == "prod" else "wrong")

        return Source(label, ask)

    passwords = Passwords([source("dev"), source(""), source("prod")])
    assert asked == []
    passwords.open(sealed["prod"], HERE)
    passwords.open(sealed["prod"], HERE)
    assert asked == ["prod"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: text.replace("1.1", "1.0"), "vault-damaged"),
        (lambda text: text[:-80], "vault-damaged"),
        (lambda text: text + "zz\n", "vault-damaged"),
        (lambda text: text.replace("AES256", "AES"), "vault-damaged"),
        (lambda text: text.splitlines()[0], "vault-damaged"),
        (forged, "vault-password"),
    ],
)
def test_a_damaged_or_forged_text_is_refused_with_its_place(
    sealed: dict[str, str],
    change: object,
    code: str,
) -> None:
    text = change(sealed["plain"])  # type: ignore[operator]
    with pytest.raises(InputError) as caught:
        knows(PASSWORD).open(text, Place("group_vars/all.yml", 3))
    assert code_of(caught.value) == code
    assert str(caught.value).startswith("group_vars/all.yml:3: ")


def test_a_missing_and_a_wrong_password_have_their_own_codes_and_hints(
    sealed: dict[str, str],
) -> None:
    for passwords, code in ((Passwords(), "vault-locked"), (knows("wrong"), "vault-password")):
        with pytest.raises(InputError) as caught:
            passwords.open(sealed["prod"], HERE)
        assert code_of(caught.value) == code
        assert "vault id prod" in str(caught.value)
        assert "--ask-vault-pass" in str(caught.value)
        assert "wrong" not in str(caught.value)


def test_the_envelope_does_not_show_its_content(sealed: dict[str, str]) -> None:
    assert "ciphertext" not in repr(Envelope.parse(sealed["plain"]))
    assert PASSWORD not in repr(vaulted(sealed, PASSWORD))


def test_ansible_vault_decrypts_what_shipit_encrypts(folder: Path) -> None:
    (folder / "password").write_text(PASSWORD)
    (folder / "text").write_text(sealed_by_us(Secret(SENTINEL * 5), Secret(PASSWORD)))
    command = [str(TOOL), "view", "--vault-password-file", "password", "text"]
    environment = {
        "HOME": str(folder),
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "PAGER": "cat",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == SENTINEL * 5


# --- passwords --------------------------------------------------------------------------------


def test_a_password_is_read_from_a_file_or_from_what_a_program_prints(folder: Path) -> None:
    file, program = folder / "password", folder / "vault-client"
    file.write_text(f"{PASSWORD}\n")
    program.write_text('#!/bin/sh\necho "$1 $2"\n')
    program.chmod(0o755)
    assert password_of(file) == Secret(PASSWORD)
    assert password_of(program, "prod") == Secret("--vault-id prod")


@pytest.mark.parametrize(
    "script", ["#!/bin/sh\necho s3ntinel; exit 1\n", "#!/bin/sh\n", "#!/none\n"]
)
def test_a_failing_password_program_is_named_without_its_output(folder: Path, script: str) -> None:
    program = folder / "ask"
    program.write_text(script)
    program.chmod(0o755)
    with pytest.raises(InputError, match="vault-password-file") as caught:
        password_of(program)
    assert "s3ntinel" not in str(caught.value)
    with pytest.raises(InputError, match="No such file"):
        password_of(folder / "none")


def test_passwords_come_from_the_command_line_and_then_from_ansible(
    folder: Path, sealed: dict[str, str]
) -> None:
    for name, word in (("wrong", "x"), ("right", PASSWORD)):
        (folder / name).write_text(word)
    config = AnsibleConfig(vaults=(("", folder / "right"),))
    found = options.passwords(config, [folder / "wrong"], [f"dev@{folder}/wrong"], None)
    assert found.open(sealed["plain"], HERE) == SENTINEL
    assert found.files == (
        f"default@{folder}/wrong",
        f"dev@{folder}/wrong",
        f"default@{folder}/right",
    )
    asked = options.passwords(AnsibleConfig(), [], [], lambda _: Secret(PASSWORD))
    assert asked.open(sealed["plain"], HERE) == SENTINEL


# --- values -----------------------------------------------------------------------------------


def tagged(text: str, by: int) -> str:
    """Return a value of YAML with the tag !vault, its lines indented."""
    return "!vault |\n" + "".join(f"{' ' * by}{line}\n" for line in text.splitlines())


def test_an_unused_vaulted_value_needs_no_password(folder: Path, sealed: dict[str, str]) -> None:
    token = tagged(sealed["plain"], 4)
    (folder / "hosts.yml").write_text(
        f"all:\n hosts: {{w1: }}\n vars:\n  port: 80\n  token: {token}"
    )
    (folder / "group_vars").mkdir()
    (folder / "group_vars/all.yml").write_text(sealed["prod"])
    (host,) = load([folder / "hosts.yml"]).hosts
    assert host.vars["port"] == 80
    assert [str(mistake.place) for mistake in host.locked] == [f"{folder}/group_vars/all.yml:1:1"]
    with pytest.raises(InputError) as caught:
        units.value("{{ token }}", host, {})
    assert code_of(caught.value) == "vault-locked"
    assert str(caught.value).startswith(f"{folder}/hosts.yml:5: ")


def test_an_undefined_variable_may_be_in_a_file_that_was_not_opened(
    folder: Path, sealed: dict[str, str]
) -> None:
    (folder / "hosts").write_text("w1\n")
    (folder / "host_vars").mkdir()
    (folder / "host_vars/w1.yml").write_text(sealed["plain"])
    (host,) = load([folder / "hosts"]).hosts
    with pytest.raises(InputError) as caught:
        units.value("{{ vault_token }}", host, {})
    assert f"it may be in {folder}/host_vars/w1.yml:1:1" in str(caught.value)
    assert "--ask-vault-pass" in str(caught.value)


def test_a_file_that_the_given_password_does_not_open_is_refused_for_its_hosts_alone(
    folder: Path, sealed: dict[str, str]
) -> None:
    (folder / "hosts").write_text("w1\nw2\n")
    (folder / "host_vars").mkdir()
    (folder / "host_vars/w1.yml").write_text(sealed["plain"])
    (folder / "book.yaml").write_text(BOOK)
    run = inputs.RunOptions(folder / "book.yaml", (folder / "hosts",), passwords=knows("wrong"))
    with pytest.raises(InputError, match="vault-password"):
        inputs.targets(run)
    run = inputs.RunOptions(
        folder / "book.yaml", (folder / "hosts",), passwords=knows("wrong"), limit="w2"
    )
    assert [target.name for target in inputs.targets(run)[0]] == ["w2"]


def test_every_text_of_a_file_that_was_encrypted_is_secret(sealed: dict[str, str]) -> None:
    document = parse(Path("v.yml"), "$ANSIBLE_VAULT" + sealed["plain"][14:], knows(PASSWORD))
    assert document.value == Secret(SENTINEL)
    assert mapped({"a": ["x", 1]}, Secret) == {"a": [Secret("x"), 1]}


def test_a_text_that_uses_a_secret_is_a_secret(sealed: dict[str, str]) -> None:
    variables = Variables(
        {"pw": vaulted(sealed, PASSWORD), "url": "db://u:{{ pw }}@h", "db": {"pw": Secret("x")}}
    )
    assert variables.fill("{{ pw }}") == Secret(SENTINEL)
    assert variables.fill("{{ url | upper }}") == Secret(f"DB://U:{SENTINEL.upper()}@H")
    assert variables.fill("{{ db.pw }}{{ db['pw'] }}") == Secret("xx")
    assert variables.fill("{% if pw %}yes{% endif %}") == Secret("yes")
    assert variables.fill({"a": ["{{ pw }}", "{{ 1 + 1 }}"]}) == {"a": [Secret(SENTINEL), 2]}
    assert variables.fill("{{ 'plain' }}") == "plain"  # and nothing is left over


def test_a_secret_of_another_host_is_a_secret(sealed: dict[str, str]) -> None:
    peers = {"db1": {"pw": vaulted(sealed, PASSWORD), "port": "{{ 5000 + 432 }}"}}
    host = Host("w1", (), {}, peers=peers)
    assert units.value("{{ hostvars['db1'].pw }}", host, {}) == Secret(SENTINEL)
    assert units.value("{{ hostvars.db1.port }}", host, {}) == 5432


def test_secrets_of_a_playbook_take_vaulted_variables_and_nothing_else_does(
    folder: Path, sealed: dict[str, str]
) -> None:
    host = Host("w1", (), {"pw": vaulted(sealed, PASSWORD)})

    def deployment(more: str) -> Deployment:
        (folder / "book.yaml").write_text(BOOK + more)
        return units.deployment(reader.read(folder / "book.yaml")[0], host, {}, RELEASE)

    made = deployment('secrets: {URL: "db://{{ pw }}@h"}\n')
    assert made.secrets["URL"] == Secret(f"db://{SENTINEL}@h")
    assert SENTINEL not in repr(made)
    for more in ('env: {PW: "{{ pw }}"}\n', 'user: "{{ pw }}"\n', 'smoke: "x {{ pw }}"\n'):
        with pytest.raises(InputError, match="secret-in-template") as caught:
            deployment(more)
        assert SENTINEL not in str(caught.value)
        assert "write `secrets:" in str(caught.value)


def test_only_a_deploy_needs_a_password(folder: Path, sealed: dict[str, str]) -> None:
    book = 'secrets: {A: "{{ a }}", B: "{{ in_the_file }}", C: env:SHIPIT_TEST_C}\n'
    (folder / "book.yaml").write_text(BOOK + book)
    (folder / "hosts.yml").write_text(
        f"all:\n hosts: {{w1: }}\n vars:\n  a: {tagged(sealed['plain'], 4)}"
    )
    (folder / "group_vars").mkdir()
    (folder / "group_vars/all.yml").write_text(sealed["plain"])
    run = inputs.RunOptions(folder / "book.yaml", (folder / "hosts.yml",))
    ((target,),) = inputs.targets(run)
    assert inputs.secrets_at_hand([target], run_commands=False) == frozenset()
    with pytest.raises(InputError) as caught:
        inputs.resolve([target])
    reported = [mistake for mistake in caught.value.mistakes if "vault" in str(mistake)]
    assert [mistake.code for mistake in reported] == ["vault-locked", "template-undefined"]


def test_a_template_of_a_file_that_uses_a_secret_is_refused(
    folder: Path, sealed: dict[str, str]
) -> None:
    (folder / "x.j2").write_text("password = {{ pw }}\n")
    variables = Variables({"pw": vaulted(sealed, PASSWORD)})
    with pytest.raises(TemplateFaultError) as caught:
        variables.fill_file(folder / "x.j2", {})
    assert caught.value.code == "secret-in-template"
    assert templating.mistake(caught.value, None).place == Place(str(folder / "x.j2"))


def test_a_vaulted_value_of_the_playbook_and_of_extra_variables_is_opened(
    folder: Path, sealed: dict[str, str]
) -> None:
    secrets = "secrets: {PW: '{{ pw }}'}"
    values = f"vars:\n  pw: {tagged(sealed['plain'], 4)}"
    (folder / "book.yaml").write_text(f"{BOOK}{secrets}\n{values}")
    (folder / "hosts").write_text("w1\n")
    run = inputs.RunOptions(folder / "book.yaml", (folder / "hosts",), passwords=knows(PASSWORD))
    ((target,),) = inputs.targets(run)
    assert target.deployment.secrets == {"PW": Secret(SENTINEL)}
    (folder / "extra.yml").write_text(f"a: {tagged(sealed['plain'], 2)}")
    found = options.extra_vars([f"@{folder}/extra.yml"], knows(PASSWORD))
    assert Variables(found).fill("{{ a }}") == Secret(SENTINEL)


def test_json_has_its_own_keys_for_vaulted_and_raw_texts(sealed: dict[str, str]) -> None:
    text = json.dumps(
        {"pw": {"__ansible_vault": sealed["plain"]}, "raw": {"__ansible_unsafe": "{{ x }}"}}
    )
    value = parse(Path("x.json"), text, knows(PASSWORD)).value
    assert isinstance(value, dict)
    assert Variables(value).fill(value) == {"pw": Secret(SENTINEL), "raw": "{{ x }}"}


def test_connection_variables_may_be_in_a_vault(folder: Path, sealed: dict[str, str]) -> None:
    password = tagged(sealed["plain"], 5)
    (folder / "hosts.yml").write_text(
        f"all:\n hosts:\n  w1:\n   ansible_become_password: {password}"
    )
    (host,) = load([folder / "hosts.yml"], Reading(knows(PASSWORD))).hosts
    found = endpoint(host, render=lambda value: units.value(value, host, {}))
    assert found.become_password == Secret(SENTINEL)
    assert endpoint(Host("w", (), {"ansible_host": Secret("10.0.0.1")})).address == "10.0.0.1"
