"""What the selection of hosts refuses; that it selects as Ansible does is compared elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shipit.errors import InputError
from shipit.inventory.patterns import Names, select, split

if TYPE_CHECKING:
    from pathlib import Path

WEB = ("web1", "web2", "web3")
HOSTS = (*WEB, "db1.example.com")
NAMES = Names(HOSTS, {"all": HOSTS, "web": WEB, "db": HOSTS[3:], "eu": ("web2", "web3"), "no": ()})


@pytest.mark.parametrize(
    ("pattern", "limit", "chosen"),
    [
        ("web:&eu:!web3", None, ["web2"]),
        ("!web3:web:&eu", None, ["web2"]),
        ("db,web1", None, ["db1.example.com", "web1"]),
        ("~web[13]", None, ["web1", "web3"]),
        ("web[0]", None, ["web1"]),
        ("web[-1]", None, ["web3"]),
        ("web[0:1]", None, ["web1", "web2"]),
        ("web[1:]", None, ["web2", "web3"]),
        ("all", "eu", ["web2", "web3"]),
        ("all", "!web", ["db1.example.com"]),
        ("all:!gone*", None, list(HOSTS)),
        ("localhost", None, ["localhost"]),
    ],
)
def test_patterns_select(pattern: str, limit: str | None, chosen: list[str]) -> None:
    assert select(NAMES, pattern, limit) == tuple(chosen)


@pytest.mark.parametrize(
    ("pattern", "limit", "code", "expected"),
    [
        ("wbe", None, "pattern-unknown", "did you mean 'web'?"),
        ("all:!wbe", None, "pattern-unknown", "did you mean 'web'?"),
        ("all:!db1.exampel.com", None, "pattern-unknown", "did you mean 'db1.example.com'?"),
        ("all", "zzz", "pattern-unknown", "groups: all, web, db, eu, no"),
        ("web:x*", None, "pattern-unknown", "'x*'"),
        ("web[3]", None, "pattern-unknown", "it has 3"),
        ("web[-4]", None, "pattern-unknown", "it has 3"),
        ("web[0-1]", None, "pattern-invalid", "[first:last]"),
        ("web[2:1]", None, "pattern-invalid", "[first:last]"),
        ("~(", None, "pattern-invalid", "regular expression"),
        ("web:!", None, "pattern-invalid", "need a name"),
        ("", None, "pattern-empty", "`all`"),
        (" , ", None, "pattern-empty", "`all`"),
        ("web", "", "limit-empty", "leave --limit out"),
        ("web", ",", "limit-empty", "leave --limit out"),
        ("web", "db", "no-hosts", "within the limit 'db'"),
        ("no", None, "no-hosts", "selects no host"),
        ("web:!web", None, "no-hosts", "selects no host"),
    ],
)
def test_a_selection_that_cannot_be_meant_is_refused(
    pattern: str, limit: str | None, code: str, expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        select(NAMES, pattern, limit)
    (mistake,) = caught.value.mistakes
    assert mistake.code == code
    assert expected in str(mistake)


def test_a_limit_can_be_a_file_of_hosts(tmp_path: Path) -> None:
    (tmp_path / "deploy.retry").write_text("web3\n\n  web1  \n")
    assert select(NAMES, "web", f"@{tmp_path}/deploy.retry") == ("web1", "web3")


def test_an_empty_or_missing_file_of_hosts_is_not_all_hosts(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for name, code in [("empty", "limit-empty"), ("none", "limit-file")]:
        with pytest.raises(InputError) as caught:
            select(NAMES, "web", f"@{tmp_path / name}")
        assert caught.value.mistakes[0].code == code


def test_colons_separate_only_where_they_are_not_part_of_an_address() -> None:
    assert split("web:db") == ["web", "db"]
    assert split("web[0:2]") == ["web[0:2]"]
    assert split("web[0:2]:db") == ["web[0:2]", "db"]
    assert split("2001:db8::1") == ["2001:db8::1"]
    assert split("2001:db8::1, web") == ["2001:db8::1", "web"]
