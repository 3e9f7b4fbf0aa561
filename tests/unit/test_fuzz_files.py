# ruff: noqa: E501 - texts of files, as they are
"""Playbooks, inventories, locks and env files that are broken at random: nothing but mistakes that are reported.

FUZZ_FILES is the number of files of each kind; `make fuzz` reads 20,000 of each.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from shipit.bundle import lockfile
from shipit.errors import InputError, Mistake
from shipit.inventory import model
from shipit.playbook import reader
from shipit.render import dotenv_file
from shipit.render import env_file as env_files
from wheelhouse import BOOKWORM

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = int(os.environ.get("FUZZ_FILES", "400"))
MOST_CHARACTERS = 20_000  # of what is reported of one mistake
DIGITS = "9" * 90

PLAYBOOK = """\
app: demo
hosts: web:&eu
wheel: file
lock: file
wheelhouse: .
python: ">=3.11"
keep_releases: 5
vars: {port: 8000, name: "{{ port }}"}
env: {PORT: "{{ port }}", MODE: fast}
secrets: {TOKEN: env:TOKEN}
files: [{src: file, dest: a/b.ini, mode: "0640"}]
services:
  web: {command: serve --fd 3, socket: "127.0.0.1:8000", stop_timeout: 30s, instances: 2}
  job: {command: report, timer: "Mon..Fri *-*-* 03:00:00", hardening: {PrivateTmp: false}}
smoke: serve --version
health:
  checks: [{http: "http://127.0.0.1:8000/healthz", json: {a: [1, null]}}, {tcp: 80}]
  deadline: 60s
  min_healthy: 1s
serial: [1, "25%"]
max_fail_percentage: 10
confirm_timeout: 60s
"""
INVENTORY = """\
all:
  vars: {ansible_user: deploy, ansible_timeout: 10}
  hosts:
    web1: {ansible_host: 192.0.2.1, ansible_port: 22}
    web[2:4].example.com: {ansible_ssh_common_args: "-o ProxyJump=gate"}
  children:
    web: {hosts: {web1: }, vars: {x: "{{ inventory_hostname }}"}}
    eu: {children: {web: }}
"""
INI = """\
web1 ansible_host=192.0.2.1 ansible_port=22
[web]
web1
web[2:4].example.com ansible_user="deploy"
[web:vars]
x={'a': [1, 2]}
[eu:children]
web
"""
ENV_FILE = """\
# comment
export DATABASE_URL="postgres://app:pa$$word@db/app"
KEY='-----BEGIN
two lines
-----END'
PORT=8000 # comment
EMPTY=
SPACED = a value with spaces
ESCAPED="a\\n\\"b\\""
"""
A = "a" * 64
LOCKS = {
    "requirements.lock": (
        f"--index-url https://pypi.org/simple\na[x]==1.0 ; python_version >= '3' \\\n"
        f"    --hash=sha256:{A}\nb==1!2.0+x --hash sha256:{A} # via a\n"
    ),
    "uv.lock": (
        'version = 1\nrequires-python = ">=3.11"\n[[package]]\nname = "app"\nversion = "1"\n'
        'source = { editable = "." }\ndependencies = [{ name = "a", extra = ["x"], '
        "marker = \"sys_platform == 'linux'\" }]\n[[package]]\nname = \"a\"\nversion = \"1\"\n"
        f'source = {{ registry = "https://x" }}\nwheels = [{{ url = "https://x/a.whl", hash = "sha256:{A}" }}]\n'
        '[package.optional-dependencies]\nx = [{ name = "a" }]\n'
    ),
    "pylock.toml": (
        'lock-version = "1.0"\ncreated-by = "x"\nenvironments = ["sys_platform == \'linux\'"]\n'
        '[[packages]]\nname = "a"\nversion = "1"\nmarker = "python_version >= \'3\'"\n'
        f'wheels = [{{ name = "a-1-py3-none-any.whl", url = "https://x/a-1-py3-none-any.whl", hashes = {{ sha256 = "{A}" }} }}]\n'
    ),
    "poetry.lock": (
        '[[package]]\nname = "a"\nversion = "1"\ngroups = ["main"]\nmarkers = "python_version >= \'3\'"\n'
        f'files = [{{file = "a-1-py3-none-any.whl", hash = "sha256:{A}"}}]\n'
        '[package.source]\ntype = "git"\nurl = "https://x"\nresolved_reference = "1"\n'
        '[metadata]\nlock-version = "2.1"\npython-versions = ">=3.11"\n'
    ),
    "pdm.lock": (
        '[metadata]\nstrategy = ["inherit_metadata"]\nlock_version = "4.5.0"\n[[metadata.targets]]\n'
        'requires_python = ">=3.11"\n[[package]]\nname = "a"\nversion = "1"\ngroups = ["default"]\n'
        f'marker = "python_version >= \'3\'"\nfiles = [{{file = "a.whl", hash = "sha256:{A}"}}]\n'
    ),
    "Pipfile.lock": (
        '{"_meta": {}, "default": {"a": {"hashes": ["sha256:' + A + '"], "version": "==1",'
        ' "markers": "python_version >= \'3\'"}, "b": {"git": "https://x", "ref": "1"}}}\n'
    ),
}  # fmt: skip

# What breaks readers: endless numbers and names, other types, other alphabets, half a syntax.
PIECES = (
    DIGITS, DIGITS + "h", "-" + DIGITS, "1e999", "nan", ".inf", "x" * 5000, "9" * 5000, "٣", "0x", "\0",
    "\t", "\ud7ff", "é", "\u2028", "{{", "}}", "{% if %}", "{# x", "[", "]", "{", "}", "<<: *x", "&x", "*x",
    "!!python/object:x", "!vault", "$ANSIBLE_VAULT;1.1;AES256", "null", "~", "true", "no", "[]", "{}", "''",
    '"', "'", "\\", "---", "...", ": ", "- ", "? ", "#", "%", "@", "`", "22:22", "2024-13-45", "../..", "/",
    "//", "~nobody/x", "==", ">=", ";", "|", "&&", "$(x)", "é" * 300, "1.2.3.4.5", "::1", "[::1]:80", "a:b:c",
)  # fmt: skip


def broken(text: str, dice: random.Random) -> str:
    """Return a text with one to four things in it changed: a byte, a word, a line, a piece."""
    for _ in range(dice.randint(1, 4)):
        at, other = sorted((dice.randrange(len(text) + 1), dice.randrange(len(text) + 1)))
        lines = text.split("\n")
        row = dice.randrange(len(lines))
        line = lines[row]
        match dice.randrange(7):
            case 0:
                text = text[:at] + dice.choice(PIECES) + text[at:]
            case 1:
                text = text[:at] + text[at + dice.randint(1, 9) :]
            case 2:  # another value for a key
                mark = "=" if "=" in line else ":"
                lines[row] = f"{line.partition(mark)[0]}{mark} {dice.choice(PIECES)}"
                text = "\n".join(lines)
            case 3:
                text = "\n".join([*lines[:row], *lines[row + 1 :]])
            case 4:
                text = "\n".join([*lines[:row], line, *lines[row:]])
            case 5:
                text = text[:at] + text[other:] + text[at : at + 30]
            case _:
                text = text[:at] + chr(dice.randrange(0xD7FF)) + text[at + 1 :]
    return text


def reads(folder: Path, name: str, text: str, read: Callable[[Path], object]) -> bool:
    """Whether a text is read; where not, it has to be reported as mistakes, each of a bounded length."""
    path = folder / name
    path.write_text(text, errors="surrogatepass", newline="")
    reported: list[Mistake] = []
    try:
        read(path)
    except InputError as error:
        reported += error.mistakes
    except Exception as error:
        error.add_note(f"--- {name}:\n{text}")
        raise
    assert all(0 < len(each.what) < MOST_CHARACTERS for each in reported), text
    return not reported


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "file").write_text("text\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def playbook(path: Path) -> None:
    for draft in reader.read(path):
        reader.typed(draft, draft.values)


def hosts(path: Path) -> None:
    known = model.load([path])
    known.select("all")
    known.select("web:&eu")


def lock(path: Path) -> None:
    lockfile.read(path).without("app").wanted("app", BOOKWORM.markers())


def env_file(path: Path) -> None:
    env_files.env_file(dotenv_file.read(path, ["PORT"]))


KINDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "playbook.yaml": (PLAYBOOK, playbook),
    "inventory.yaml": (INVENTORY, hosts),
    "hosts": (INI, hosts),
    "prod.env": (ENV_FILE, env_file),
    **{name: (text, lock) for name, text in LOCKS.items()},
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_broken_at_random_is_reported_and_never_a_bug(
    name: str, folder: Path
) -> None:
    text, read = KINDS[name]
    dice = random.Random(name)  # noqa: S311 - a seed, so that each run plays the same
    good = sum(reads(folder, name, broken(text, dice), read) for _ in range(FILES))
    assert good < FILES
    if name != "uv.lock":  # the app is not in it: see `lock`
        assert reads(folder, name, text, read)
