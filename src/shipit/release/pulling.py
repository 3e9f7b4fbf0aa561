"""Let hosts fetch the wheels of a bundle from its URL, instead of sending them."""

# ruff: noqa: PLC0415 - late imports: only what a playbook names is loaded

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shipit.agent.protocol.pulls import Piece, Pull
from shipit.errors import InputError, Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shipit.bundle.wheel import Blob
    from shipit.release.inputs import ResolvedInput
    from shipit.secrets import SecretUrl

_PULL = "pull"
_DIRECT = ("http", "https")
_SIGNED_FOR = 3600  # seconds in which a host has to begin its download


@dataclass(frozen=True)
class RemoteBundle:
    """A bundle at a URL that hosts can read.

    Attributes:
        offsets: where each wheel begins in it, by its sha256.
    """

    url: SecretUrl
    offsets: Mapping[str, int] = field(repr=False)

    def __str__(self) -> str:
        return str(self.url)

    def request(self, blobs: Iterable[Blob]) -> Pull:
        """Return what a host is asked for.

        Raises:
            InputError: the store can't sign a URL (pull-unsigned).
        """
        pieces = (
            Piece(blob.sha256, blob.path.name, self.offsets[blob.sha256], blob.size)
            for blob in blobs
        )
        return Pull(self.signed(), tuple(pieces))

    def signed(self) -> str:
        """Return an http URL: the bundle's own, or one that is signed by the object store.

        Raises:
            InputError: it can't sign one (pull-unsigned).
        """
        if self.url.reveal().partition("://")[0] in _DIRECT:
            return self.url.reveal()
        from shipit.archive import object_store

        try:
            return object_store.signed(self.url, _SIGNED_FOR)
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a store's package raises
            what = f"{self.url} cannot be signed for hosts: {type(error).__name__}"
            hint = "use credentials that can sign (a key, not a token); or transfer: push"
            raise InputError(Mistake("pull-unsigned", what, None, hint)) from None


def of(resolved: ResolvedInput) -> RemoteBundle | None:
    """Return where a host gets its wheels itself; None if they are sent.

    Raises:
        InputError: there is no such place (pull-without-url).
    """
    if resolved.deployment.transfer != _PULL:
        return None
    from shipit.archive.sources import BundleSources

    sources = resolved.sources
    if not isinstance(sources, BundleSources) or sources.bundle.url is None:
        what = "hosts can fetch only a bundle that is at a URL"
        hint = "write bundle: https://... or s3://..., or use --bundle URL; or transfer: push"
        place = resolved.draft.place(("transfer",))
        raise InputError(Mistake("pull-without-url", what, place, hint))
    return RemoteBundle(sources.bundle.url, sources.offsets)


def check(wanted: Iterable[ResolvedInput]) -> None:
    """Check before any host is asked that those that fetch can be given a URL.

    Raises:
        InputError: pull-without-url, pull-unsigned.
    """
    for bundle in {found.url: found for found in map(of, wanted) if found}.values():
        bundle.signed()
