"""Make docs/cli.md from the commands: `python tests/support/cli_reference.py > docs/cli.md`."""

from __future__ import annotations

import sys

import click

from shipit.cli.program import program

HEAD = """\
# Commands

Generated from the commands by `python tests/support/cli_reference.py > docs/cli.md`; a test checks
that it is up to date.

Flags have Ansible's names and meaning where Ansible has one (`-f` of `logs` is journalctl's).
"""

STATUSES = """\
## Exit statuses

A contract: scripts may rely on it.

| status | `outcome` in JSON | means |
|---|---|---|
| 0 | `ok` | every host runs the wanted release and it is committed; a query: all have answered |
| 1 | `bug` | a bug in shipit: the traceback, and how to report it |
| 2 | `input-error` | the input is wrong; no host was changed. `lint`: errors, or with `--strict` \
warnings; `audit`: findings |
| 3 | `discarded` | failed before any switch; the previous release keeps running (also where a \
host is unreachable before the switch); a query: a host has problems or gave no answer |
| 4 | `rolled_back` | failed after a switch; every host is rolled back to its previous release |
| 5 | `needs-operator` | mixed or unknown: some host needs an operator; the last lines name it and \
the command to run. `status` exits with it where a host is stuck, drained \
or has drifted, or its watch reports |
| 6 | `changes` | only with `--detailed-exitcode`, of `plan` and `deploy --check`: a deploy would \
change something; 0: it would not |
| 130 | `interrupted` | Ctrl-C or SIGTERM; the output says what was done about it |

A playbook of several deployments stops at the first that fails, and exits with its status:
those before it stay committed, those after it are not begun. The last line shows how each of them
ended; with `--json` that is the event `playbook-ended`. A run that tolerates failures
(`max_fail_percentage`) exits with 5.

The outcome of a host is `committed`, `rolled_back`, `discarded` (not switched) or `stuck`, as in
`releases`; or `unchanged`, `unreachable` or `unknown` (lost after its switch: its lease decides).

## Mistakes

In a pipe, a CI log or a file, a mistake in your files begins with `file:line:column`:

    error: prod.yaml:9:1: unknown key 'keep_relases' [playbook-unknown-key]
      did you mean 'keep_releases'?

On a terminal it is shown with its source line:

    error[playbook-unknown-key]: unknown key 'keep_relases'
      --> prod.yaml:9:1
      |
    9 | keep_relases: …
      | ^
      help: did you mean 'keep_releases'?

Only values that are not secret are shown: those of a playbook's own keys, and of variables for
reaching a host; `…` stands for any other. No line is shown of an env file, of `secrets:`, of
content encrypted with ansible-vault, or with a word such as `password` or `token`.

## JSON

With `--json`, standard output has one JSON object per line. Each has `event` and `time` (ISO 8601,
UTC); the last one is the result:

    {"event": "result", "outcome": "ok", "exit_status": 0, "hosts": {"web1":
     {"outcome": "committed", "release": "1.4.0-3f9a2c1b", "problem": null}}, "runs": [...],
     "time": "..."}

`plan`, `status`, `releases`, `doctor`, `lint` and `audit` print that one object alone, with their
answer in `deployments` or `findings`. In `releases`, a host's `attempts` are every deploy and
rollback there with its kind (`what`), `reason`, `outcome` and `failure`; its `releases` show how
each one ended.
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
