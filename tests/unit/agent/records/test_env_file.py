"""Env files are read as systemd reads them, and values don't show."""

from __future__ import annotations

import pytest

from shipit.agent.records import env_file


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('A="plain"\n', {"A": "plain"}),
        ('A="two\nlines"\nB="x"\n', {"A": "two\nlines", "B": "x"}),
        (r'A="quote \" backslash \\ dollar \$"', {"A": 'quote " backslash \\ dollar $'}),
        (r'A="tick \`"', {"A": "tick `"}),
        (r'A="not escapes: \n \x41 \t"', {"A": r"not escapes: \n \x41 \t"}),
        ('A="goes \\\non"\n', {"A": "goes on"}),
        ('A="has = and # and ; in it"\n', {"A": "has = and # and ; in it"}),
        ("# no\n; no\n\nA=bare value  \n", {"A": "bare value"}),
        ("A='single $x \\'\n", {"A": "single $x \\"}),
        ('A=""\nB=\n', {"A": "", "B": ""}),
        ('A="ünïcode"', {"A": "ünïcode"}),
        ('A="ends in backslash \\\\"\nB="b"', {"A": "ends in backslash \\", "B": "b"}),
        ("no assignment\nA=1", {"A": "1"}),
    ],
)
def test_an_env_file_is_read_as_systemd_does(text: str, values: dict[str, str]) -> None:
    assert env_file.parse(text) == values


def test_the_services_variables_come_together() -> None:
    assert env_file.merged({"web": "A=1\n", "worker": "B=2\n"}) == {"A": "1", "B": "2"}
