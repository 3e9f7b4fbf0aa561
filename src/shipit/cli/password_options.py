"""The command-line options for passwords: sudo's and the vaults'."""

from __future__ import annotations

from pathlib import Path

import click

PASSWORDS = (
    click.Option(["-K", "--ask-become-pass"], is_flag=True, help="Ask for the password for sudo."),
    click.Option(
        ["-J", "--ask-vault-pass"], is_flag=True, help="Ask for the password of ansible-vault."
    ),
    click.Option(
        ["--vault-password-file"],
        type=click.Path(path_type=Path),
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
