"""Which release a rollback goes to, on one host and on many."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shipit.errors import HostError
from shipit.rollout.rollback_target import Candidates, Choice, candidates, choose
from unit.release.test_plan import facts, line

if TYPE_CHECKING:
    from shipit.agent.protocol.answers import ReleaseLine


def host(text: str, gone: str = "") -> Candidates:
    """Read `1.0.0-a@t1 1.1.0-b@t2,t5=w`: the releases of a host, the latest runs; `=`: its wheels.

    A version stands for an id of its own, and its transaction.
    """
    made: list[ReleaseLine] = []
    for word in text.split():
        name, _, wheels = word.partition("=")
        release, _, commits = name.partition("@")
        here = line(release, commits=tuple((commits or release).split(",")), bundle=wheels)
        made.append(replace(here, at="2026-11-29T15:00:00Z", present=release not in gone.split()))
    made[-1] = replace(made[-1], running=True)
    behind = tuple(each.id for each in made[:-1])
    return candidates(replace(facts(), releases=tuple(made), behind=behind))


def fleet(**hosts: str) -> dict[str, Candidates]:
    return {name: host(text) for name, text in hosts.items()}


def goals(choice: Choice) -> dict[str, str]:
    assert choice.refused == {}
    return {name: goal.id for name, goal in choice.goals.items()}


def refused(choice: Choice) -> dict[str, str]:
    return {name: error.code for name, error in choice.refused.items()}


# --- without --to ------------------------------------------------------------------------------


def test_one_host_goes_to_the_release_before() -> None:
    choice = choose(fleet(web1="1 2 3"), None)
    assert (goals(choice), choice.note) == ({"web1": "2"}, "")


def test_a_deploy_to_some_hosts_is_taken_back_on_those_alone() -> None:
    choice = choose(fleet(web1="1 2 3", web2="1 2", web3="1 2"), None)
    assert goals(choice) == dict.fromkeys(("web1", "web2", "web3"), "2")
    assert "2 is the last release that all hosts had in common" in choice.note


def test_several_deploys_to_one_host_are_taken_back_to_what_all_had() -> None:
    assert goals(choose(fleet(web1="1 2 3", web2="1"), None)) == {"web1": "1", "web2": "1"}


def test_a_release_that_one_host_never_had_is_passed_over() -> None:
    assert goals(choose(fleet(web1="1 2 3", web2="1 3"), None)) == {"web1": "1", "web2": "1"}


def test_what_all_hosts_run_is_no_rollback_target() -> None:
    choice = choose(fleet(web1="1 2", web2="1 2"), None)
    assert (goals(choice), choice.note) == ({"web1": "1", "web2": "1"}, "")


def test_releases_with_other_ids_on_each_host_are_one_by_their_deploy() -> None:
    hosts = fleet(web1="1-a@t1 2-a@t2 3-a@t3", web2="1-b@t1 2-b@t2")
    assert goals(choose(hosts, None)) == {"web1": "2-a", "web2": "2-b"}


def test_a_rotated_secret_makes_another_release_of_the_same_version() -> None:
    hosts = fleet(web1="2-a@t1=w 2-b@t2=w", web2="2-c@t1=w 2-d@t2=w")
    assert goals(choose(hosts, None)) == {"web1": "2-a", "web2": "2-c"}


def test_a_host_that_was_added_later_is_known_by_version_and_wheels() -> None:
    hosts = fleet(web1="1-a@t1=v 2-a@t2=w 3-a@t4=x", web9="2-b@t3=w 3-b@t4=x")
    assert goals(choose(hosts, None)) == {"web1": "2-a", "web9": "2-b"}


def test_the_same_version_with_other_wheels_is_another_release() -> None:
    hosts = fleet(web1="2-a@t2=w 3-a@t4=x", web9="2-b@t3=other 3-b@t4=x")
    assert refused(choose(hosts, None)) == dict.fromkeys(("web1", "web9"), "no-common-release")


def test_of_two_releases_with_the_same_version_and_wheels_none_is_guessed() -> None:
    hosts = fleet(web1="2-a@t1=w 2-b@t2=w 3-a@t4=x", web9="2-c@t3=w 3-b@t4=x")
    choice = choose(hosts, None)
    assert refused(choice) == dict.fromkeys(("web1", "web9"), "no-common-release")
    assert "2-b of 2026-11-29T15:00:00Z" in choice.refused["web1"].what
    assert "--to" in choice.refused["web1"].hint


def test_hosts_that_went_through_releases_in_other_orders_are_refused() -> None:
    hosts = fleet(web1="1 2 3", web2="2 1 3")
    assert refused(choose(hosts, None)) == dict.fromkeys(("web1", "web2"), "no-common-release")


def test_the_odd_host_among_many_is_named() -> None:
    hosts = fleet(web1="1 2", web2="1 2", web3="1 2", web4="2")
    choice = choose(hosts, None)
    assert refused(choice) == {"web4": "no-rollback-target"}
    with pytest.raises(HostError, match="no earlier verified release"):
        choice.of("web4")


def test_a_release_that_is_missing_on_one_host_is_reported_there() -> None:
    hosts = {"web1": host("1 2 3"), "web2": host("1 2 3", gone="2")}
    choice = choose(hosts, None)
    assert refused(choice) == {"web2": "no-rollback-target"}
    assert "2, the target of the rollback," in choice.refused["web2"].what


def test_first_releases_have_no_rollback_target() -> None:
    hosts = fleet(web1="1", web2="2")
    assert refused(choose(hosts, None)) == dict.fromkeys(("web1", "web2"), "no-rollback-target")


def test_no_host_at_all_needs_no_choice() -> None:
    assert choose({}, None) == Choice({}, {})


# --- with --to ---------------------------------------------------------------------------------

RELEASES = Candidates(
    (),
    candidates(
        replace(
            facts(),
            releases=(
                line("0.9.0-y"),
                line("1.0.0-z", present=False),
                line("1.1.0-a"),
                line("1.2.0-b", outcome="rolled_back"),
                line("1.3.0-c", running=True),
            ),
        )
    ).verified,
)


@pytest.mark.parametrize(
    ("to", "expected"),
    [("0.9.0", "0.9.0-y"), ("0.9.0-y", "0.9.0-y"), ("1.3.0", "1.3.0-c")],
)
def test_a_named_verified_release_is_the_target(to: str, expected: str) -> None:
    assert goals(choose({"web1": RELEASES}, to)) == {"web1": expected}


@pytest.mark.parametrize("to", ["1.2.0", "1.0.0-z", "7.7.7"])
def test_a_release_that_failed_or_is_gone_is_refused_by_name(to: str) -> None:
    error = choose({"web1": RELEASES}, to).refused["web1"]
    assert error.code == "no-rollback-target"
    assert to in error.what
    assert "1.1.0-a" in error.hint


def test_a_version_that_several_releases_have_is_refused_with_their_times_and_ids() -> None:
    choice = choose(fleet(web1="2-a 3-b 2-c"), "2")
    error = choice.refused["web1"]
    assert error.code == "ambiguous-release"
    assert "2-a of 2026-11-29T15:00:00Z, 2-c of 2026-11-29T15:00:00Z (runs now)" in error.what
    assert "--to 2-a" in error.hint


def test_an_id_of_one_host_names_the_same_deploy_on_the_others() -> None:
    hosts = fleet(web1="2-a@t1=w 2-b@t2=w", web2="2-c@t1=w 2-d@t2=w", web3="2-e@t1=w 2-f@t2=w")
    assert goals(choose(hosts, "2-c")) == {"web1": "2-a", "web2": "2-c", "web3": "2-e"}


def test_an_id_of_one_host_names_the_same_wheels_on_a_host_that_was_added_later() -> None:
    hosts = fleet(web1="2-a@t1=w 3-a@t3=x", web2="2-b@t2=w 3-b@t3=x")
    assert goals(choose(hosts, "2-a")) == {"web1": "2-a", "web2": "2-b"}


def test_a_version_means_each_hosts_own_release_of_it() -> None:
    hosts = fleet(web1="2-a@t1 3-a@t3", web2="2-b@t2 3-b@t3")
    assert goals(choose(hosts, "2")) == {"web1": "2-a", "web2": "2-b"}


# --- a release that was made anew on some hosts ------------------------------------------------


def test_generations_of_a_release_are_the_same_one_on_other_hosts() -> None:
    hosts = fleet(web1="1-a 2-b@t1 2-b_2@t2 3-c", web2="1-a 2-b@t1 3-c")
    assert goals(choose(hosts, "2-b")) == {"web1": "2-b_2", "web2": "2-b"}
    assert goals(choose(hosts, "2-b_2")) == {"web1": "2-b_2", "web2": "2-b"}


def test_a_version_that_was_made_anew_is_not_ambiguous() -> None:
    assert goals(choose(fleet(web1="1-a 1-a_2 2-b"), "1")) == {"web1": "1-a_2"}
