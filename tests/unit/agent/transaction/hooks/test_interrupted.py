"""Hooks that a killed process has left: what is said of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from shipit.agent.protocol.hooks import ON_ROLLBACK, Hook
from shipit.agent.records import releases
from shipit.agent.transaction.hooks import interrupted


@pytest.mark.parametrize(("is_rollback", "named"), [(False, "of r1"), (True, "of r2")])
def test_an_interrupted_hook_is_named_as_in_the_release_that_has_it(
    monkeypatch: pytest.MonkeyPatch, named: str, *, is_rollback: bool
) -> None:
    """The hooks of a rollback are those of the release that is left."""

    def manifest(_: object, release: str) -> Any:  # noqa: ANN401 - stands in for one
        return SimpleNamespace(hooks=(Hook(f"of {release}", ON_ROLLBACK, (), 1.0, "", "/"),))

    monkeypatch.setattr(releases, "manifest", manifest)
    open_: Any = SimpleNamespace(release="r1", previous="r2", is_rollback=is_rollback)
    paths: Any = None
    assert interrupted._hook(paths, open_, "0").name == named
