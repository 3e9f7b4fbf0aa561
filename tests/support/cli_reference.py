"""Make docs/cli.md from the commands: `python tests/support/cli_reference.py > docs/cli.md`."""

from __future__ import annotations

import sys

import click

from shipit.cli.program import program

HEAD = """\
# Commands

Made from the commands themselves by `python tests/support/cli_reference.py > docs/cli.md`; a test
compares.

Flags have Ansible's names and meaning where Ansible has one (`-f` of `logs` is journalctl's).
"""

STATUSES = """\
## Exit statuses

A contract: scripts may rely on it.

| status | `outcome` in JSON | means |
|---|---|---|
| 0 | `ok` | every host runs the wanted release and it is committed; a question: all have answered |
| 1 | `bug` | our own bug: a traceback, and where to report it |
| 2 | `input-error` | the input is wrong; nothing was touched |
| 3 | `untouched` | failed while every host still ran its old release undisturbed (an \
unreachable host before the switch is this); a question: a host has problems or gave no answer |
| 4 | `returned` | failed after a switch; every host is back on its old release |
| 5 | `needs-a-person` | mixed or unknown: some host needs a person; the last lines name it and \
the command to run. `status` ends so where a host is stuck or has drifted |
| 130 | `interrupted` | Ctrl-C or SIGTERM; what was done about it is said |

A playbook of several deployments stops at the first that fails, and the status is that one's:
those before it stay committed, those after it are not begun. The last line tells how each of them
ended; with `--json` that is the event `playbook-ended`. A run that bears failures
(`max_fail_percentage`) ends with 5.

What became of a host is `deployed` (in `releases`: `committed`), `returned` (`reverted`),
`untouched`, `unchanged`, `unreachable`, `unknown` (lost after its switch: its lease decides) or
`stuck`.

## Mistakes

In a pipe, a log of CI or a file, a mistake in what you wrote begins with `file:line:column`:

    error: prod.yaml:9:1: unknown key 'keep_relases' [playbook-unknown-key]
      did you mean 'keep_releases'?

On a terminal it comes with the line itself:

    error[playbook-unknown-key]: unknown key 'keep_relases'
      --> prod.yaml:9:1
      |
    9 | keep_relases: …
      | ^
      help: did you mean 'keep_releases'?

Of values, only those that are no secrets are shown: of a playbook's own keys, and of variables
that say how to reach a host; `…` stands for any other. No line is shown of an env file, of
`secrets:`, of what ansible-vault has encrypted, or with a word such as `password` or `token`.

## JSON

With `--json`, standard output has one JSON object a line. Each has `event` and `time` (ISO 8601,
UTC); the last one is the result:

    {"event": "result", "outcome": "ok", "exit_status": 0, "hosts": {"web1": {"outcome": "deployed",
     "release": "1.4.0-3f9a2c1b", "problem": null}}, "runs": [...], "time": "..."}

`plan`, `status`, `releases` and `doctor` print that one object alone, with their answer in
`deployments` or `findings`. In `releases`, a host's `attempts` are every deploy and rollback there
with its kind (`what`), `reason`, `outcome` and `failure`, and its `releases` what became of each.
Errors come before that object as lines with `"event": "error"` and a stable
`code`. Keys may be added; the meaning of a key never changes.
"""


def reference() -> str:
    """Return the text of docs/cli.md."""
    commands = [program.commands[name] for name in program.commands]
    return "\n".join([HEAD, *(_section(command) for command in commands), STATUSES])


def _section(command: click.Command) -> str:
    above = click.Context(program, info_name="shipit", terminal_width=100)
    context = command.context_class(command, parent=above, info_name=command.name)
    context.help_option_names = ["-h", "--help"]
    body = "\n".join(f"    {line}".rstrip() for line in command.get_help(context).splitlines())
    return f"## shipit {command.name}\n\n{body}\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
