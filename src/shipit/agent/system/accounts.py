"""Look up users and groups of this host by name or number. Changes nothing."""

import grp
import pwd
from typing import Optional


def user(name: str) -> Optional[pwd.struct_passwd]:
    """Return a user; None where there is none of this name."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def group_id(name: str) -> Optional[int]:
    """Return a group's number; None where there is no group of this name."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def user_name(uid: int) -> str:
    """Return a user's name for a message, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
