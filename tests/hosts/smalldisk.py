"""A host whose app or whose shipit lies on a small disk, and what happens to that disk meanwhile.

    site = SmallDisk.under("web1", "/opt/tinyapp", lab, folder, thoughtless(folder))
    site.leave(pages=3)                        # room for 12 KiB more
    site.meets(Fault("commit", "before", FULL))  # the disk runs full at that moment

Preflight keeps a reserve free; `thoughtless` ships an agent that does not, so that a deploy gets as
far as the disk lets it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hosts import faults, sabotage
from hosts.faults import COMMAND, HEALTH, LONG, TXN, Site
from hosts.site import problems
from hosts.workspace import Done, Workspace
from patience import until

if TYPE_CHECKING:
    from pathlib import Path

    from hosts.fault_cases import Fault
    from hosts.warm import Command
    from shipit.lab.lab import Lab

FULL, READ_ONLY = "full", "read-only"  # what happens to the disk; agreed with `sabotage`
ROTTEN = "/var/lib/shipit-faults/rotten"  # while it is there, the next bytes arrive damaged
ADDED = {  # module -> what is added to it
    "release/plan.py": "RESERVE = -(1 << 40)\n",
    "agent/staging/preflight.py": "RESERVE = RESERVED_INODES = -(1 << 40)\n",
    "agent/storage/blobs.py": f"""
_receive = receive


def receive(paths, part, body):
    if os.path.exists({ROTTEN!r}):
        os.unlink({ROTTEN!r})
        body = bytes([body[0] ^ 1]) + bytes(body[1:])
    _receive(paths, part, body)
""",
}
ROOMY = "size=1g,nr_inodes=200k"


def thoughtless(folder: Path) -> Path:
    """Make a copy of the package whose agent has faults, and which begins with no room at all."""
    package = faults.saboteur(folder)
    for module, text in ADDED.items():
        with (package / "shipit" / module).open("a") as source:
            source.write("\n" + text)
    return package


@dataclass
class SmallDisk(Site):
    """One host that serves a release, with a folder on a disk of its own."""

    disk: str = ""

    @classmethod
    def under(cls, host: str, disk: str, lab: Lab, folder: Path, package: Path) -> Self:
        """Mount the disk, and deploy a first release there."""
        folder.mkdir()
        site = cls(Workspace.set(folder, lab, [host]), host, package, disk=disk)
        site.sh(f"mkdir -p {disk} && mount -t tmpfs -o mode=755,{ROOMY} tmpfs {disk}")
        site.follows()
        return site

    def sh(self, script: str) -> str:
        return self.workspace.sh(self.host, script)

    # --- the disk -------------------------------------------------------------------------------

    def leave(self, *, pages: int | None = None, inodes: int | None = None) -> None:
        """Leave this much room (a page is 4 KiB), and as much as one likes of the other."""
        limits = {
            "$((4 * (b - f + {})))k": ("size", pages),
            "$((c - d + {}))": ("nr_inodes", inodes),
        }
        options = [f"{key}={text.format(n)}" for text, (key, n) in limits.items() if n is not None]
        used = f"read b f c d <<.\n$(stat -f -c '%b %f %c %d' {self.disk})\n.\n"
        self.sh(f"{used}mount -o remount,{','.join(options)} {self.disk}")

    def free(self) -> None:
        """Take away all that is in the way, as a person would."""
        read_only = f"findmnt -n {self.disk} -O ro >/dev/null"
        self.sh(f"while {read_only}; do umount -l {self.disk}; done")
        self.sh(f"mount -o remount,{ROOMY} {self.disk}")

    def make_read_only(self) -> None:
        """Refuse whatever is opened from now on, also while others have files of it open."""
        self.sh(f"mount --bind {self.disk} {self.disk} && mount -o remount,bind,ro {self.disk}")

    # --- deploys --------------------------------------------------------------------------------

    def begin(self, lease: float = LONG, **health: object) -> Command:
        self.number += 1
        self.workspace.wheel(self.version)
        return self._start(health={**HEALTH, **health}, confirm_timeout=f"{lease:g}s")

    def again(self, **changes: object) -> Done:
        """Deploy the newest version once more, perhaps with a changed playbook."""
        return self._finished(self._start(**changes))

    def _start(self, **changes: object) -> Command:
        usual = {"health": HEALTH, "confirm_timeout": f"{LONG:g}s", "keep_releases": 2}
        self.workspace.playbook(
            self.version, env={"GREETING": self.version}, **{**usual, **changes}
        )
        return self.workspace.start("deploy", "--json", package=str(self.path))

    def follows(self) -> None:
        """Deploy once more: nothing may be in the way."""
        until(lambda: not self._is_driven(), self.evidence, COMMAND)
        done = self._finished(self.begin())
        assert done.status == 0, f"{done.output}; {self.evidence()}"
        self.check(done, self.version)

    def tries(self, *, blames_disk: bool = True, may_rest: bool = True) -> Done:
        """Deploy with the disk as it is; the host serves one release, whole, whatever comes of it.

        A host that can't write down how it ended comes to rest only when it can: it says so.
        """
        old = self.serving()
        done = self._finished(self.begin())
        assert self.serving() in (old, self.version), self.evidence()
        if done.status:
            self._reports_why(done, self.disk if blames_disk else "")
        if may_rest and outcome(done, self.host) != "stuck":
            self._settled()
            self.check(done, old)
        return done

    def meets(self, *planned: Fault) -> Done:
        """Deploy, and let this happen on the way; then take it away and deploy again."""
        self._plan(planned)
        may_rest = all(fault.what != READ_ONLY for fault in planned)
        done = self.tries(blames_disk=len(planned) == 1, may_rest=may_rest)
        self._plan([])
        self.free()
        self.follows()
        return done

    def _reports_why(self, done: Done, disk: str) -> None:
        """Prove that the host, the cause and what to do are reported, and the disk is named."""
        assert "Traceback" not in done.output, done.output
        reported = [each for each in problems(done) if each.get("host") == self.host]
        assert reported, done.output
        assert all(each["code"] and each["hint"] for each in reported), reported
        assert any(disk in each["what"] + each["evidence"] for each in reported), reported

    def _journal(self) -> str:
        return self.sh(f"cat /{TXN} 2>/dev/null || true")  # its disk is not seen from outside

    def _ledger(self) -> list[dict[str, Any]]:
        lines = (
            self.workspace.lab.read(self.host, "/opt/tinyapp/ledger.jsonl").decode().splitlines()
        )
        return [json.loads(line) for line in lines if line.endswith("}")]  # a torn one is none

    def _obey(self, controller: Command | None) -> str:
        mark = self._there(sabotage.MARK)
        # `current` is switched, there and back, by a symlink made anew.
        happens = {FULL: lambda: self.leave(pages=0, inodes=1), READ_ONLY: self.make_read_only}
        if mark.exists() and (act := happens.get(mark.read_text())):
            act()
        return super()._obey(controller)


def outcome(done: Done, host: str) -> str:
    """Return what became of a host; "" where no run began."""
    return str(done.result.get("hosts", {}).get(host, {}).get("outcome", ""))
