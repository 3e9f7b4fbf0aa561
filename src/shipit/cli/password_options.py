"""The options of the command line that say where passwords come from: sudo's and the vaults'."""

from __future__ import annotations

from pathlib import Path

import click

PASSWORDS = (
    click.Option(
        ["-K", "--ask-become-pass"], is_flag=True, help="Ask for the password that sudo wants."
    ),
    click.Option(
        ["-J", "--ask-vault-pass"], is_flag=True, help="Ask for the password of ansible-vault."
    ),
    click.Option(
        ["--vault-password-file"],
        type=click.Path(path_type=Path),
        multiple=True,
        metavar="FILE",
        help="Read a vault password from this file, or from what it prints if it is a program. "
        "Also: ANSIBLE_VAULT_PASSWORD_FILE.",
    ),
    click.Option(
        ["--vault-id"],
        multiple=True,
        metavar="[LABEL@]FILE",
        help="The same, for what is encrypted with this vault id.",
    ),
)
