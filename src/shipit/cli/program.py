"""The commands and options of the command line, as click has them.

Promises: the flags of Ansible under their names, the exit statuses of docs/cli.md, and help in a
fraction of a second, as everything else is imported only when it is needed.
It decides nothing about a deploy.
"""

# ruff: noqa: PLC0415 - importing late keeps help and completion quick

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import get_completion_class

from shipit import __version__
from shipit.cli.commands import UseCases
from shipit.cli.parameters import Duration, names_for_limit
from shipit.cli.password_options import PASSWORDS
from shipit.cli.runner import (
    UNTOUCHED,
    CliOptions,
    Invocation,
    run_command,
)
from shipit.errors import InputError, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable


SHELLS = ("bash", "zsh", "fish")

_STATUSES = """\b
Exit statuses:
  0    every host runs the wanted release and it is committed
  1    a bug in shipit: a traceback, and where to report it
  2    the input is wrong; nothing was touched
  3    failed while every host still ran its old release
  4    failed after a switch; every host is back on its old release
  5    mixed or unknown: some host needs a person; the last lines name it
  130  interrupted; what was done about it is said"""


def _password(prompt: str) -> str:
    try:
        return str(click.prompt(prompt, hide_input=True, err=True, default=""))
    except click.Abort as error:  # Ctrl-C, or no one to ask
        raise KeyboardInterrupt from error


_FILE = click.Path(path_type=Path)
_PLAYBOOK = click.Argument(["playbook"], type=_FILE)
_JSON = click.Option(["--json"], is_flag=True, help="One JSON object a line; the last the result.")
_VERBOSE = click.Option(
    ["-v", "--verbose"], count=True, help="Probes and timings; twice: tracebacks of errors."
)
_TARGETS = (
    _PLAYBOOK,
    click.Option(
        ["-i", "--inventory"],
        type=_FILE,
        multiple=True,
        help="Inventory file, folder or program; may be repeated. Default: SHIPIT_INVENTORY, or "
        "inventory.yaml beside the playbook or one folder up.",
    ),
    click.Option(
        ["-l", "--limit"],
        metavar="PATTERN",
        shell_complete=names_for_limit,
        help="Only these hosts: a pattern as in Ansible, such as web:!web3.",
    ),
    click.Option(
        ["-e", "--extra-vars"],
        multiple=True,
        metavar="VARS",
        help="Variables: key=value, YAML or JSON, or @file; the last one wins.",
    ),
    *PASSWORDS,
    _VERBOSE,
    _JSON,
)
_FORKS = click.Option(
    ["-f", "--forks"],
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    metavar="NUMBER",
    help="Hosts that are worked on at the same time.",
)
_CHANGES = (
    click.Option(
        ["--lock-wait"],
        type=Duration(),
        default=0.0,
        metavar="TIME",
        help="How long to wait for another's deploy to end, such as 5m.  [default: not at all]",
    ),
    click.Option(["--reason"], default="", help="Why; kept in each host's history."),
)
_DIFF = click.Option(["-D", "--diff"], is_flag=True, help="Show how each text would change.")


@click.group(
    "shipit",
    epilog=_STATUSES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="shipit %(version)s")
def program() -> None:
    """Ship Python services to Linux VMs, and come back by itself when a release is bad."""


def command(
    *params: click.Parameter, example: str
) -> Callable[[Callable[[Invocation], int]], Callable[[Invocation], int]]:
    """Make a command of an act; its docstring is the help."""

    def register(act: Callable[[Invocation], int]) -> Callable[[Invocation], int]:
        def callback(**given: Any) -> int:  # noqa: ANN401 - click gives each option its type
            use = click.get_current_context().obj or UseCases()
            return run_command(act, CliOptions(**given), use, _password)

        program.add_command(
            click.Command(
                act.__name__,
                callback=callback,
                params=list(params),
                help=inspect.cleandoc(act.__doc__ or ""),
                epilog=f"\b\nExamples:\n{example}",
            )
        )
        return act

    return register


@command(
    *_TARGETS,
    _FORKS,
    click.Option(["-C", "--check"], is_flag=True, help="Change nothing: the same as plan."),
    _DIFF,
    *_CHANGES,
    click.Option(["--allow-older"], is_flag=True, help="Let an older version replace a newer one."),
    example="  shipit deploy playbooks/prod.yaml\n"
    "  shipit deploy playbooks/prod.yaml -l web1 --reason 'fix for #42'",
)
def deploy(session: Invocation) -> int:
    """Ship what the playbook says to its hosts.

    Every host is staged before one is switched. If a release fails its health checks, every host
    goes back to the release it ran before. Where the release runs already, nothing is done. An
    older version does not replace a newer one unless --allow-older says so.
    """
    if session.asked.check:
        return plan(session)
    return session.use.deploy(session.run(), session.face)


@command(
    *_TARGETS,
    _FORKS,
    click.Option(
        ["--to"],
        metavar="RELEASE",
        help="This release: its id, on any of the hosts, or its version.",
    ),
    *_CHANGES,
    example="  shipit rollback playbooks/prod.yaml\n"
    "  shipit rollback playbooks/prod.yaml --to 1.3.9-0c5e7d21",
)
def rollback(session: Invocation) -> int:
    """Go back to the last good release that all hosts had, or to the one named by --to.

    Nothing is sent or built: the release lies on the host, and has to pass the health checks that
    it was deployed with. All hosts go back at once, all or none, and to the same release: those
    that run it already stay as they are. Hosts without a last release in common are refused, with
    a list of what each has; --limit leaves one out.
    """
    return session.use.rollback(session.run(), session.face, session.asked.to)


@command(
    *_TARGETS,
    _FORKS,
    click.Option(["--take-over"], is_flag=True, help="Lead it to its end; its controller is gone."),
    example="  shipit attach playbooks/prod.yaml\n  shipit attach playbooks/prod.yaml --take-over",
)
def attach(session: Invocation) -> int:
    """Follow the deploy or rollback that runs on the hosts, from any machine, until it ends.

    It only follows, unless --take-over is given: that renews the leases in the place of a
    controller that is gone, and commits once every host is healthy, or brings every host back.
    """
    return session.use.attach(session.run(), session.face, take_over=session.asked.take_over)


@command(
    *_TARGETS,
    _FORKS,
    click.Option(["--reason"], default="", help="Why; kept in each host's history."),
    example="  shipit adopt playbooks/prod.yaml -l web1",
)
def adopt(session: Invocation) -> int:
    """Take over a root in which another tool has deployed, as it is.

    What `current` leads to becomes the release that a failed first deploy or a rollback goes back
    to. Nothing else there is touched, and the other tool's own services are neither stopped nor
    started. Ends with 3 if a host has nothing to adopt, or could not be asked.
    """
    from shipit.output import reports

    found = session.use.adopt(session.run(), session.face.quiet)
    ended = reports.query_status(found)
    data = reports.answers_data(found)
    session.face.answer("adopt", ended, reports.status(found), deployments=data)
    return ended


@command(*_TARGETS, _FORKS, _DIFF, example="  shipit plan playbooks/prod.yaml --diff")
def plan(session: Invocation) -> int:
    """Show what a deploy would change on each host: packages, units, env keys, restarts.

    Nothing is touched. Values of the environment are never shown.
    """
    from shipit.output import reports

    found = session.use.plan(session.run(), session.face.quiet)
    status = UNTOUCHED if any(host.problems for _, hosts in found for host in hosts) else 0
    parts = reports.plans(found, diff=session.asked.diff)
    session.face.answer("plan", status, parts, deployments=reports.plans_data(found))
    return status


@command(
    *_TARGETS, _FORKS, example="  shipit status playbooks/prod.yaml\n  shipit status p.yaml --json"
)
def status(session: Invocation) -> int:
    """Show what runs where and since when, and whether it still is what was deployed.

    Says what to do about drift. Ends with 3 if a host can't be asked, 5 if one is stuck or drifted.
    """
    from shipit.output import reports

    found = session.use.status(session.run(), session.face.quiet)
    ended = reports.query_status(found)
    data = reports.answers_data(found)
    session.face.answer("status", ended, reports.status(found), deployments=data)
    return ended


@command(*_TARGETS, _FORKS, example="  shipit releases playbooks/prod.yaml -l web1")
def releases(session: Invocation) -> int:
    """Show each host's history: every deploy and rollback, by whom, why, and how it ended."""
    from shipit.output import reports

    found = session.use.releases(session.run(), session.face.quiet)
    ended = reports.query_status(found)
    data = reports.answers_data(found)
    session.face.answer("releases", ended, reports.releases(found), deployments=data)
    return ended


@command(
    *_TARGETS,  # -f is journalctl's and tail's here, not Ansible's
    click.Option(
        ["-n", "--lines"],
        type=click.IntRange(min=0),
        default=100,
        show_default=True,
        metavar="NUMBER",
        help="How many of the last lines.",
    ),
    click.Option(["-f", "--follow"], is_flag=True, help="Go on until interrupted; for 30 hosts."),
    click.Option(["-s", "--service"], default="", help="Only this service of the playbook."),
    example="  shipit logs playbooks/prod.yaml -f -l web1 -s worker",
)
def logs(session: Invocation) -> int:
    """Show the journal of the app's units, each line with its host.

    Also that of units on trial, of releases that failed, and of what shipit did there itself.
    """
    asked = session.asked
    return session.use.logs(
        session.run(),
        session.face.aside,
        session.face.log,
        lines=asked.lines,
        follow=asked.follow,
        service=asked.service,
    )


@command(*_TARGETS, _FORKS, example="  shipit doctor playbooks/prod.yaml")
def doctor(session: Invocation) -> int:
    """Check whether the controller and every host are ready, and say how to fix what is not."""
    from shipit.output import reports

    found = session.use.doctor(session.run(), session.face.quiet)
    ended = 0 if all(finding.ok for finding in found) else UNTOUCHED
    data = reports.plain_data(list(found))
    session.face.answer("doctor", ended, reports.findings(found), findings=data)
    return ended


@command(
    *_TARGETS,
    _FORKS,
    click.Option(
        ["--provider"],
        type=click.Choice(["nspawn", "vagrant"]),
        default="nspawn",
        help="What makes the machines: systemd-nspawn (Linux, as root; the default) or Vagrant.",
    ),
    click.Option(["--suite"], default="", help="nspawn: Debian or Ubuntu by codename (bookworm)."),
    click.Option(["--keep"], is_flag=True, help="Leave the machines running at the end."),
    click.Option(
        ["--faults"],
        is_flag=True,
        help="Also kill the controller and an agent, cut cable and power, reboot (takes longer).",
    ),
    click.Option(
        ["--report"],
        type=_FILE,
        default=Path("rehearsal.html"),
        help="The report as a page; as text beside it.  [default: rehearsal.html]",
    ),
    example="  shipit rehearse playbooks/prod.yaml --provider vagrant --faults",
)
def rehearse(session: Invocation) -> int:
    """Play it through on disposable machines: deploy, break, watch the return, roll back.

    No real host is touched. Of the playbook's hosts, those of the group `rehearsal` are played, or
    else the first four. Ends with 0 if every act ended as it has to.
    """
    asked = session.asked
    return session.use.rehearse(
        session.run(is_rehearsal=True),
        session.face,
        machines=(asked.provider, asked.suite),
        keep=asked.keep,
        report=asked.report,
        faults=asked.faults,
    )


@program.command(epilog="\b\nExamples:\n  shipit schema > playbook.schema.json")
@click.pass_obj
def schema(use: UseCases | None) -> int:
    """Print the JSON Schema of a playbook, for editors."""
    import json

    click.echo(json.dumps((use or UseCases()).schema(), indent=2))
    return 0


@program.command(epilog='\b\nExamples:\n  eval "$(shipit completion bash)"')
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> int:
    """Print the script that completes commands, flags, playbooks and hosts in a shell."""
    found = get_completion_class(shell)
    if found is None:  # click knows all of SHELLS
        raise InputError(Mistake("unknown-shell", f"{shell} is not one of {', '.join(SHELLS)}"))
    click.echo(found(program, {}, "shipit", "_SHIPIT_COMPLETE").source())
    return 0
