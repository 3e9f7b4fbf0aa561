"""Turn what was typed into a use case, and its end into an exit status. The owner of click.

Promises: the flags of Ansible under their names, the exit statuses of docs/cli.md, and help in a
fraction of a second, as everything else is imported only when it is needed.
It decides nothing about a deploy.
"""

# ruff: noqa: PLC0415 - importing late keeps help and completion quick

from __future__ import annotations

import inspect
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.shell_completion import get_completion_class

from shipit import __version__
from shipit.conduct import INTERRUPTED, UNTOUCHED, Asked, Session, conduct, sigterm_as_ctrl_c
from shipit.errors import InputError, Mistake
from shipit.parameters import Duration, names_for_limit
from shipit.passwordoptions import PASSWORDS
from shipit.usecases import UseCases

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


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
) -> Callable[[Callable[[Session], int]], Callable[[Session], int]]:
    """Make a command of an act; its docstring is the help."""

    def register(act: Callable[[Session], int]) -> Callable[[Session], int]:
        def callback(**given: Any) -> int:  # noqa: ANN401 - click gives each option its type
            use = click.get_current_context().obj or UseCases()
            return conduct(act, Asked(**given), use, _password)

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
def deploy(session: Session) -> int:
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
def rollback(session: Session) -> int:
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
def attach(session: Session) -> int:
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
def adopt(session: Session) -> int:
    """Take over a root in which another tool has deployed, as it is.

    What `current` leads to becomes the release that a failed first deploy or a rollback goes back
    to. Nothing else there is touched, and the other tool's own services are neither stopped nor
    started. Ends with 3 if a host has nothing to adopt, or could not be asked.
    """
    from shipit.faces import reports

    found = session.use.adopt(session.run(), session.face.quiet)
    ended = reports.query_status(found)
    data = reports.answers_data(found)
    session.face.answer("adopt", ended, reports.status(found), deployments=data)
    return ended


@command(*_TARGETS, _FORKS, _DIFF, example="  shipit plan playbooks/prod.yaml --diff")
def plan(session: Session) -> int:
    """Show what a deploy would change on each host: packages, units, env keys, restarts.

    Nothing is touched. Values of the environment are never shown.
    """
    from shipit.faces import reports

    found = session.use.plan(session.run(), session.face.quiet)
    status = UNTOUCHED if any(host.problems for _, hosts in found for host in hosts) else 0
    parts = reports.plans(found, diff=session.asked.diff)
    session.face.answer("plan", status, parts, deployments=reports.plans_data(found))
    return status


@command(
    *_TARGETS, _FORKS, example="  shipit status playbooks/prod.yaml\n  shipit status p.yaml --json"
)
def status(session: Session) -> int:
    """Show what runs where and since when, and whether it still is what was deployed.

    Says what to do about drift. Ends with 3 if a host can't be asked, 5 if one is stuck or drifted.
    """
    from shipit.faces import reports

    found = session.use.status(session.run(), session.face.quiet)
    ended = reports.query_status(found)
    data = reports.answers_data(found)
    session.face.answer("status", ended, reports.status(found), deployments=data)
    return ended


@command(*_TARGETS, _FORKS, example="  shipit releases playbooks/prod.yaml -l web1")
def releases(session: Session) -> int:
    """Show each host's history: every deploy and rollback, by whom, why, and how it ended."""
    from shipit.faces import reports

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
def logs(session: Session) -> int:
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
def doctor(session: Session) -> int:
    """Check whether the controller and every host are ready, and say how to fix what is not."""
    from shipit.faces import reports

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
def rehearse(session: Session) -> int:
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


def main(arguments: Sequence[str] | None = None, use: UseCases | None = None) -> int:
    """Run the command line; returns the exit status."""
    with sigterm_as_ctrl_c():
        try:
            return int(program.main(arguments, "shipit", standalone_mode=False, obj=use) or 0)
        except click.ClickException as error:
            return _misused(error, sys.argv[1:] if arguments is None else arguments)
        except click.Abort:
            return INTERRUPTED


def entry() -> NoReturn:
    """Run the command line as a process of its own."""
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # All is told. A connection that still waits for its timeout must not hold the terminal.
    if status == INTERRUPTED:
        os._exit(status)
    signal.signal(signal.SIGINT, lambda *_: os._exit(status))
    sys.exit(status)


def _misused(error: click.ClickException, arguments: Sequence[str]) -> int:
    """Tell what is wrong with the command line itself; machines get their last line, too."""
    error.show()
    if "--json" in arguments:
        from shipit.faces.jsonlines import JsonLines
        from shipit.faces.masking import Veil

        JsonLines(sys.stdout, verbosity=0, veil=Veil()).conclude(error.exit_code)
    return error.exit_code
