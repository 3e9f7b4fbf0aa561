"""What templates may know of a release."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReleaseNames:
    """What templates may know of the release.

    Attributes:
        path: its directory on the host, absolute.
        folder: the one below it that services start in.
    """

    id: str
    version: str
    path: str
    folder: str = "files"

    @property
    def workdir(self) -> str:
        return f"{self.path}/{self.folder}"

    @property
    def assets(self) -> str:
        """Its static files."""
        return f"{self.path}/assets"

    def variables(self) -> dict[str, str]:
        """Return what templates see as `release`."""
        return {"id": self.id, "version": self.version, "path": self.path, "workdir": self.workdir}
