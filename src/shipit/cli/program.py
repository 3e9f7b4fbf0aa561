"""The commands and options of the command line, built with click.

Ansible's flags keep their names, the exit statuses are those of docs/cli.md, and help appears in a
fraction of a second, because everything else is imported only when needed.
It decides nothing about a deploy.
"""

# ruff: noqa: PLC0415 - late imports keep help and completion fast

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from shipit.cli import (
    audit_command,  # noqa: F401 - registers its command
    bundle_commands,  # noqa: F401 - registers its commands
    control_commands,  # noqa: F401 - registers its commands
    prompts,
)
from shipit.cli.group import command, program
from shipit.cli.parameters import (
    BUILDER,
    BUNDLE,
    CHANGES,
    DETAILED,
    DIFF,
    FILE,
    FORCE_PAST_MIGRATION,
    FORKS,
    MIGRATE_AGAIN,
    OUTPUT,
    OVERRIDE_FREEZE,
    OVERRIDE_HOLD,
    PLAN_FILE,
    PLAN_OUT,
    PLAYBOOKS,
    REASON,
    REPORT_FORMAT,
    TARGETS,
)
from shipit.cli.query_commands import answer  # it registers its commands, too
from shipit.cli.runner import DISCARDED, WRONG_INPUT, Invocation

__all__ = ["program"]  # with all its commands

_SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@command(
    click.Argument(["project"], type=FILE, default=Path(), metavar="[PROJECT]"),
    click.Option(["-y", "--yes"], is_flag=True, help="Ask nothing: take every guess."),
    click.Option(["-C", "--check"], is_flag=True, help="Write nothing; show what would be."),
    *OUTPUT,
    example="  shipit init\n  shipit init ~/src/myapp --yes",
)
def init(invocation: Invocation, *, project: Path, yes: bool, check: bool) -> int:
    """Write a playbook and an inventory for a project.

    Reads its pyproject.toml, locks, requirements, Procfile, compose file and Python source, and
    runs none of its code. Each guess is shown with the line that it comes from. On a terminal it
    asks for what no file says: the hosts, the port, and the app where there are several.

    prod.yaml and inventory.yaml are written beside pyproject.toml, where `shipit deploy prod.yaml`
    finds both. Nothing is overwritten: exits with 3 if there is a prod.yaml already.
    """
    from shipit.cli import options
    from shipit.commands import init as use_case
    from shipit.output import reports

    ask = prompts.ask if invocation.is_interactive and not yes else None
    found = use_case.init(project, ask, options.INVENTORY_NAMES, check=check)
    ended = 0 if found.has_playbook else DISCARDED
    invocation.output.answer("init", ended, reports.project_setup(found), **vars(found))
    return ended


@command(
    *TARGETS,
    FORKS,
    click.Option(["-C", "--check"], is_flag=True, help="Change nothing; the same as plan."),
    DIFF,
    *CHANGES,
    click.Option(
        ["--allow-older"], is_flag=True, help="Allow an older version to replace a newer one."
    ),
    OVERRIDE_HOLD,
    OVERRIDE_FREEZE,
    PLAN_FILE,
    MIGRATE_AGAIN,
    FORCE_PAST_MIGRATION,
    DETAILED,
    BUNDLE,
    BUILDER,
    example="  shipit deploy playbooks/prod.yaml\n"
    "  shipit deploy playbooks/prod.yaml -l web1 --reason 'fix for #42'",
)
def deploy(
    invocation: Invocation,
    *,
    check: bool,
    diff: bool,
    detailed_exitcode: bool,
    plan_file: Path | None,
) -> int:
    """Deploy the playbook's releases to its hosts.

    Every host is staged before any host is switched. If a release fails its health checks, every
    host is rolled back to its previous release. Hosts that already run the release are left alone.
    An older version replaces a newer one only with --allow-older. A release that was rolled back is
    held: it is deployed again only with --override-hold. A held or changed host refuses its own
    deployment; earlier ones of the playbook are done by then.
    """
    from shipit.commands import deploy as use_case

    if check and plan_file:
        raise click.UsageError("--check changes nothing, and --plan is for a deploy: leave one out")
    if detailed_exitcode and not check:
        raise click.UsageError("--detailed-exitcode is about a plan: add --check")
    if check:
        return plan(invocation, diff=diff, detailed_exitcode=detailed_exitcode)
    return use_case.deploy(invocation.run_options(), invocation.output, plan_file)


@command(
    *TARGETS,
    FORKS,
    click.Option(
        ["--to"],
        metavar="RELEASE",
        help="The release to roll back to: its id on any of the hosts, or its version.",
    ),
    FORCE_PAST_MIGRATION,
    *CHANGES,
    example="  shipit rollback playbooks/prod.yaml\n"
    "  shipit rollback playbooks/prod.yaml --to 1.3.9-0c5e7d21",
)
def rollback(invocation: Invocation, *, to: str | None) -> int:
    """Roll back to the last good release that all hosts had, or to the one given by --to.

    Nothing is sent or built: the release is still on the host, and must pass the health checks that
    it was deployed with. All hosts are rolled back at once, all or none, and to the same release;
    those that already run it are left alone. Without a common release the rollback is refused, with
    a list of what each host has; --limit excludes hosts.
    """
    from shipit.commands import deploy as use_case

    return use_case.rollback(invocation.run_options(), invocation.output, to)


@command(
    *TARGETS,
    FORKS,
    click.Option(
        ["--take-over"],
        is_flag=True,
        help="Take over and finish it; only if its controller is gone.",
    ),
    example="  shipit attach playbooks/prod.yaml\n  shipit attach playbooks/prod.yaml --take-over",
)
def attach(invocation: Invocation, *, take_over: bool) -> int:
    """Follow the deploy or rollback that runs on the hosts, from any machine, until it ends.

    By default it only follows. With --take-over it replaces a controller that is gone: it renews
    the leases, and commits once every host is healthy, or else rolls every host back.
    """
    from shipit.commands import attach as use_case

    run = invocation.run_options()
    return use_case.attach(run, invocation.output, take_over=take_over)


@command(
    *TARGETS,
    FORKS,
    REASON,
    example="  shipit adopt playbooks/prod.yaml -l web1",
)
def adopt(invocation: Invocation) -> int:
    """Adopt a root in which another tool has deployed, without changing it.

    The target of `current` becomes the release to which a failed first deploy or a rollback
    returns. Nothing else is changed, and the other tool's own services are neither stopped nor
    started. Exits with 3 if a host has nothing to adopt or gave no answer.
    """
    from shipit.commands import adopt as use_case
    from shipit.output import reports

    found = use_case.adopt(invocation.run_options(), invocation.output.quiet)
    return answer(invocation, "adopt", found, reports.status(found))


@command(
    *TARGETS,
    FORKS,
    DIFF,
    BUNDLE,
    BUILDER,
    DETAILED,
    PLAN_OUT,
    example="  shipit plan playbooks/prod.yaml --diff\n"
    "  shipit plan playbooks/prod.yaml --out prod.plan && "
    "shipit deploy playbooks/prod.yaml --plan prod.plan",
)
def plan(
    invocation: Invocation, *, diff: bool, detailed_exitcode: bool, out: Path | None = None
) -> int:
    """Show what a deploy would change on each host: packages, units, env keys, restarts.

    Nothing is changed. Values of environment variables are never shown. Exits with 3 if a host has
    a problem.
    """
    from shipit.commands import inspect as use_case
    from shipit.output import reports

    found = use_case.plan(invocation.run_options(), invocation.output.quiet, out)
    status = reports.plan_status(found, detailed=detailed_exitcode)
    parts = reports.plans(found, diff=diff)
    invocation.output.answer("plan", status, parts, deployments=reports.plans_data(found))
    return status


@command(
    *PLAYBOOKS,
    REPORT_FORMAT,
    click.Option(["--strict"], is_flag=True, help="Exit with 2 after warnings, too."),
    example="  shipit lint playbooks/prod.yaml\n"
    "  shipit lint playbooks/*.yaml --strict --format github",
)
def lint(
    invocation: Invocation, *, playbooks: tuple[Path, ...], report_format: str, strict: bool
) -> int:
    """Check playbooks without a host, a network or a secret.

    Finds what a deploy would find before it connects: mistakes in the playbooks, the inventory,
    templates, env files, locks and wheels. Files that are not there are skipped, except templates;
    no command is run for a secret. Warns about what is allowed and often a mistake.
    """
    from shipit.commands import lint as use_case
    from shipit.events import Noted
    from shipit.output.lint import formats

    alone = replace(invocation, ask_password=cache(invocation.ask_password))
    report = use_case.lint(
        playbooks, lambda each: alone.of(each).run_options(needs_passwords=False)
    )
    for text in report.skipped:
        invocation.output.quiet(Noted(text))
    ended = WRONG_INPUT if report.has_failed(strict=strict) else 0
    parts = formats.FORMATS[report_format](report, Path.cwd())
    found = [formats.data(finding) for finding in report.findings]
    invocation.output.answer("lint", ended, parts, findings=found, skipped=report.skipped)
    return ended


@command(
    *TARGETS,
    FORKS,
    click.Option(
        ["--provider"],
        type=click.Choice(["nspawn", "vagrant"]),
        default="nspawn",
        help="What provides the machines: systemd-nspawn (Linux, as root; the default) or Vagrant.",
    ),
    click.Option(["--suite"], default="", help="nspawn: Debian or Ubuntu by codename (bookworm)."),
    click.Option(["--keep"], is_flag=True, help="Keep the machines running at the end."),
    click.Option(
        ["--faults"],
        is_flag=True,
        help="Also kill the controller and an agent, cut network and power, reboot (takes longer).",
    ),
    click.Option(
        ["--report"],
        type=FILE,
        default=Path("rehearsal.html"),
        help="Where to write the HTML report; a text report is written beside it.  "
        "[default: rehearsal.html]",
    ),
    example="  shipit rehearse playbooks/prod.yaml --provider vagrant --faults",
)
def rehearse(
    invocation: Invocation, *, provider: str, suite: str, keep: bool, faults: bool, report: Path
) -> int:
    """Rehearse on disposable machines: deploy, break, watch the rollback, roll back by hand.

    No real host is touched. It rehearses the playbook's hosts in the group `rehearsal`, or else the
    first four. Exits with 0 if every scenario ended as expected.
    """
    from shipit.rehearsal import run as use_case
    from shipit.rehearsal.providers.base import MachineChoice

    run, choice = invocation.run_options(is_rehearsal=True), MachineChoice(provider, suite)
    return use_case.rehearse(
        run, invocation.output, choice=choice, keep=keep, report=report, faults=faults
    )


@program.command(epilog="\b\nExamples:\n  shipit schema > playbook.schema.json")
def schema() -> int:
    """Print the JSON Schema of a playbook, for editors."""
    import json

    from shipit.playbook import reader

    click.echo(json.dumps(reader.schema(), indent=2))
    return 0


@program.command(epilog='\b\nExamples:\n  eval "$(shipit completion bash)"')
@click.argument("shell", type=click.Choice(list(_SHELLS)))
def completion(shell: str) -> int:
    """Print the script that completes commands, flags, playbooks and hosts in a shell."""
    click.echo(_SHELLS[shell](program, {}, "shipit", "_SHIPIT_COMPLETE").source())
    return 0
