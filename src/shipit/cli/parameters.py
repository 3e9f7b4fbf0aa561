"""The options that several commands share, and how their values are converted and completed."""

# ruff: noqa: PLC0415 - late imports keep help and completion fast

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from shipit.audit import packages
    from shipit.playbook import project


class PinnedFile(click.ParamType["project.PinnedFile"]):
    """A bundle: a path or a URL, followed by #sha256=DIGEST or nothing."""

    name = "bundle"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> project.PinnedFile:
        from shipit.playbook import parsers
        from shipit.playbook.project import pinned

        try:
            return pinned(str(value))
        except parsers.InvalidValueError as error:
            self.fail(str(error), param, ctx)


class Duration(click.ParamType[float]):
    """A duration such as 90s or 5m, converted to seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        from shipit.playbook import parsers

        if isinstance(value, float):
            return value
        try:
            return parsers.duration(value)
        except parsers.InvalidValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[str]):
    """A time: how long from now, or a date with a time; converted to ISO 8601 in UTC."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        from shipit.cli import options

        try:
            return options.moment(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class NewFile(click.ParamType[Path]):
    """A file that can be written, or replaced: known before a command takes its time."""

    name = "file"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        path = Path(str(value))
        folder = path.parent
        if not path.name:
            self.fail(f"{str(value)!r} is no name: name a file", param, ctx)
        if path.is_dir():
            self.fail(f"{path} is a folder: name a file in it", param, ctx)
        if path.exists() and not path.is_file():
            self.fail(f"{path} is not a regular file", param, ctx)
        if not folder.is_dir():
            self.fail(f"{path}: there is no such folder: {folder}", param, ctx)
        if not os.access(folder, os.W_OK | os.X_OK):
            self.fail(f"{path}: the folder cannot be written: {folder}", param, ctx)
        return path


class LocalBundle(PinnedFile):
    """A bundle that is a file."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> project.PinnedFile:
        found = super().convert(value, param, ctx)
        if found.path is None:
            self.fail("sign the file, and put both where the URL is", param, ctx)
        return found


class BundleOrPlaybook(click.ParamType["project.PinnedFile | Path"]):
    """A bundle, by its URL or the end of its name; else the path of a playbook."""

    name = "bundle or playbook"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> project.PinnedFile | Path:
        text = str(value)
        if "://" in text or text.partition("#")[0].endswith(".shipit"):
            return PinnedFile().convert(text, param, ctx)
        return Path(text)


class Requirement(click.ParamType["packages.Wanted"]):
    """A package and its versions, such as jinja2<3.1.6."""

    name = "requirement"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> packages.Wanted:
        from shipit.audit import packages

        try:
            return packages.Wanted(str(value))
        except ValueError:
            self.fail(f"{value!r} is no package such as 'jinja2<3.1.6'", param, ctx)


class AdvisoryService(click.ParamType[str]):
    """Who knows of vulnerabilities: pypi, osv, or the URL of a service."""

    name = "service"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        name = str(value)
        if name not in ("pypi", "osv") and not name.startswith(("https://", "http://")):
            self.fail("it is neither pypi nor osv, nor a URL with http:// or https://", param, ctx)
        return name


def names_for_limit(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete hosts and groups."""
    from shipit.cli import options

    # While an option is being completed, click leaves the arguments before it unread.
    written = ctx.params.get("playbooks") or ctx.args
    playbook = ctx.params.get("playbook") or next(iter(written), "")
    before, comma, last = incomplete.rpartition(",")
    names = options.limits(Path(playbook), ctx.params["inventory"], os.environ)
    return [CompletionItem(before + comma + name) for name in names if name.startswith(last)]


FILE = click.Path(path_type=Path)
OUTPUT = (
    click.Option(
        ["-v", "--verbose"],
        count=True,
        help="Show probes and timings; twice: tracebacks of errors.",
    ),
    click.Option(
        ["--json"], is_flag=True, help="Write one JSON object per line, the last one the result."
    ),
)
_HOSTS = (
    click.Option(
        ["-i", "--inventory"],
        type=FILE,
        multiple=True,
        help="Inventory file, folder or program; may be repeated. Default: SHIPIT_INVENTORY, or "
        "inventory.yaml beside the playbook or one folder up.",
    ),
    click.Option(
        ["-l", "--limit"],
        metavar="PATTERN",
        shell_complete=names_for_limit,
        help="Only these hosts: an Ansible pattern such as web:!web3.",
    ),
    click.Option(
        ["-e", "--extra-vars"],
        multiple=True,
        metavar="VARS",
        help="Variables: key=value, YAML or JSON, or @file; the last one wins.",
    ),
)
BUNDLE = click.Option(
    ["--bundle"],
    type=PinnedFile(),
    metavar="FILE",
    help="Ship this bundle, a file or a URL, instead of what the playbook names; #sha256=DIGEST "
    "pins it.",
)
BUILDER = click.Option(
    ["--builder"],
    metavar="HOST",
    default="",
    help="Build packages with compiled parts on HOST if this machine cannot build them for the "
    "targets. HOST must have the targets' platform and Python; name a host of the inventory or of "
    "~/.ssh/config. The build runs as the login user.",
)
_SUDO = click.Option(
    ["-K", "--ask-become-pass"], is_flag=True, help="Ask for the password for sudo."
)
_VAULT = (
    click.Option(
        ["-J", "--ask-vault-pass"], is_flag=True, help="Ask for the password of ansible-vault."
    ),
    click.Option(
        ["--vault-password-file"],
        type=FILE,
        multiple=True,
        metavar="FILE",
        help="Read a vault password from this file, or from its output if it is a program. "
        "Also: ANSIBLE_VAULT_PASSWORD_FILE.",
    ),
    click.Option(
        ["--vault-id"],
        multiple=True,
        metavar="[LABEL@]FILE",
        help="The same, for content encrypted with this vault id.",
    ),
)
_VAULT_AND_OUTPUT = (*_VAULT, *OUTPUT)
TARGETS = (click.Argument(["playbook"], type=FILE), *_HOSTS, _SUDO, *_VAULT_AND_OUTPUT)
PLAYBOOKS = (
    click.Argument(["playbooks"], type=FILE, nargs=-1, required=True, metavar="PLAYBOOK..."),
    *_HOSTS,
    *_VAULT_AND_OUTPUT,
)
ONE_BUNDLE = (click.Argument(["bundle"], type=PinnedFile(), metavar="BUNDLE"), *OUTPUT)
ONE_FILE = (click.Argument(["bundle"], type=LocalBundle(), metavar="BUNDLE"), *OUTPUT)
SIGNERS = click.Option(
    ["--signers"],
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Check that it is signed by one of these: allowed signers, as in ssh-keygen(1).",
)
TWO_BUNDLES = (
    click.Argument(["old"], type=PinnedFile(), metavar="OLD"),
    click.Argument(["new"], type=PinnedFile(), metavar="NEW"),
    *OUTPUT,
)
FORKS = click.Option(
    ["-f", "--forks"],
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    metavar="NUMBER",
    help="How many hosts to work on at the same time.",
)
REASON = click.Option(
    ["-m", "--reason"], default="", help="The reason, kept in each host's history."
)
WHY = click.Option(["-m", "--reason"], required=True, help="The reason, kept on each host.")
PLAN_FILE = click.Option(
    ["--plan", "plan_file"],
    type=FILE,
    metavar="FILE",
    help="Deploy only as in this plan, of plan --out: a deployment in which a host has changed is "
    "refused; earlier ones of the playbook are done by then.",
)
PLAN_OUT = click.Option(
    ["--out"],
    type=NewFile(),
    metavar="FILE",
    help="Write the plan to this file, for deploy --plan; not if a host has a problem.",
)
MIGRATE_AGAIN = click.Option(
    ["--migrate-again"],
    is_flag=True,
    help="Run the migration although an earlier one has not ended, or this one was applied.",
)
FORCE_PAST_MIGRATION = click.Option(
    ["--force-past-migration"],
    is_flag=True,
    help="Roll back past an irreversible migration; each host's history has it.",
)
OVERRIDE_FREEZE = click.Option(
    ["--override-freeze"],
    is_flag=True,
    help="Deploy although the playbook freezes it now; needs -m, which is kept as well.",
)
OVERRIDE_HOLD = click.Option(
    ["--override-hold"],
    is_flag=True,
    help="Deploy although it is held; needs -m, which is kept in each host's history.",
)
CHANGES = (
    click.Option(
        ["--lock-wait"],
        type=Duration(),
        default=0.0,
        metavar="TIME",
        help="How long to wait for another deploy to end, such as 5m.  [default: do not wait]",
    ),
    REASON,
)
REPORT_FORMAT = click.Option(
    ["--format", "report_format"],
    type=click.Choice(["text", "github", "sarif"]),
    default="text",
    help="How to write the findings: for a reader (the default), as annotations of GitHub "
    "Actions, or as SARIF 2.1.0.",
)
DETAILED = click.Option(
    ["--detailed-exitcode"],
    is_flag=True,
    help="Of a plan: exit with 6 if something would change, with 0 if nothing would.",
)
DIFF = click.Option(["-D", "--diff"], is_flag=True, help="Show a diff of each changed file.")
