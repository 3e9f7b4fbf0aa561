"""Find everything that would prevent staging or starting a release here, all at once.

Changes nothing: `plan` runs the same checks as a deploy.
"""

import os
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from ..activation import names
from ..activation.names import STEP, problem
from ..host.host import Host
from ..protocol.hooks import Hook
from ..protocol.manifest import Artifact, Manifest
from ..protocol.messages import Failure, Survey
from ..protocol.values import dataclass
from ..records import app_root, releases, views
from ..storage import blobs, pythons
from ..system import accounts, interpreters, process, sockets, trust
from ..system.failures import Refused, existing
from ..system.paths import Paths
from . import calendars, signature

MIB = 1024 * 1024
RESERVE = 64 * MIB  # kept free for logs, bytecode of the first start, the next deploy
RESERVED_INODES = 1000
# Measured over the wheels of a FastAPI service: unpacked 2.9 times their size, with bytecode 3.9.
UNPACKED = 4
BYTES_PER_FILE = 4096  # of compressed wheel; measured 8 KiB a file, half as much with bytecode
SYSTEMD_RUNS = "/run/systemd/system"  # sd_booted(3)
SYSTEM_BUS = "/run/dbus/system_bus_socket"  # systemd-run --wait needs it


@dataclass(frozen=True)
class Context(names.Named):
    """The release to stage, and where."""

    missing: Tuple[Artifact, ...] = ()  # not yet among the blobs
    reused: bool = False  # the release exists already: it needs no room


def problems(context: Context) -> Tuple[Failure, ...]:
    """Return all problems; empty if there are none."""
    return (
        *app_root.problems(context.paths),
        *_dests(context),
        *_machine(context),
        *_bus(context),
        *_room(context),
        *names.problems(context),
        *calendars.problems(context.paths, context.host, context.texts),
        *_sockets(context),
        *_socket_folders(context),
        *_ports(context),
        *_assets(context),
    )


def together(found: Sequence[Failure]) -> Optional[Failure]:
    """Combine all problems into one failure, for an answer with room for one."""
    if len(found) <= 1:
        return found[0] if found else None
    what = "; ".join(each.what for each in found)
    hints = dict.fromkeys(each.hint for each in found if each.hint)
    return Failure(found[0].code, what, STEP, "; ".join(hints))


def _dests(context: Context) -> Iterator[Failure]:
    for name in sorted(context.texts):
        try:
            releases.text_path(context.paths, context.manifest.id, name)
        except Refused as refused:
            yield refused.failure


def _assets(context: Context) -> Iterator[Failure]:
    if context.manifest.assets and views.is_taken(context.paths):
        views_path, link = context.paths.views, context.paths.assets
        path = views_path if os.path.islink(views_path) else link
        what = f"{path} was not made by shipit: clients are to find static files there"
        yield problem("assets-taken", what, f"move it away: mv {path} {path}.old")


def _machine(context: Context) -> Iterator[Failure]:
    manifest = context.manifest
    if not os.path.isdir(SYSTEMD_RUNS):
        what = f"this host is not run by systemd ({SYSTEMD_RUNS} is missing)"
        yield problem("no-systemd", what, "shipit needs a host that runs systemd")
    if manifest.python:
        pass  # it is unpacked when there is room for it, and tried then
    elif not os.access(manifest.interpreter, os.X_OK):
        what = f"the interpreter {manifest.interpreter} no longer exists"
        yield problem("no-interpreter", what, "run the command again, or install that Python")
    elif rejected := interpreters.rejected(manifest.interpreter, step=STEP):
        yield rejected
    elif interpreters.lacks_distutils(manifest.interpreter):
        what = f"{manifest.installer} can't use {manifest.interpreter}: it has no distutils"
        yield problem("no-distutils", what, "apt-get install python3-distutils")
    for user in dict.fromkeys(hook.user for hook in _hooks(manifest)):
        if user != manifest.user and not accounts.user(user):
            what = f"there is no user {user}, as whom a hook runs"
            yield problem("no-user", what, "create it on the host, or correct `user` of the hook")
    if not accounts.user(manifest.user) and not process.program("useradd"):
        what = f"there is no user {manifest.user}, and no useradd to create it"
        yield problem("no-user", what, f"create the user {manifest.user} by hand")


def _hooks(manifest: Manifest) -> Tuple[Hook, ...]:
    """Return all commands of the release that run as hooks do."""
    others = (
        manifest.migration.hook if manifest.migration else None,
        manifest.assets.command if manifest.assets else None,
    )
    return (*manifest.hooks, *(hook for hook in others if hook))


def _bus(context: Context) -> Iterator[Failure]:
    """Check for the system bus, without which a transient unit cannot be waited for."""
    manifest = context.manifest
    kinds = [check.kind for check in manifest.gate.checks]
    runs = manifest.smoke or _hooks(manifest) or "command" in kinds
    if runs and not os.path.exists(SYSTEM_BUS):
        wanted = "the smoke command" if manifest.smoke else "a command check or a hook"
        what = f"{wanted} cannot be run: this host has no system bus ({SYSTEM_BUS} is missing)"
        yield problem("no-system-bus", what, "install and start it: apt-get install dbus")


# --- room --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Need:
    """The space that one file system must have free."""

    path: str
    size: int = 0  # bytes
    inodes: int = 0


def needs(context: Context, *, one_disk: bool) -> List[Need]:
    """Estimate the space that staging needs in each folder (before the wheels are sent).

    A missing wheel is stored, and unpacked once into uv's cache; the venv shares those files if
    root is on the same file system, and copies them otherwise. pip always copies.
    """
    manifest = context.manifest
    if context.reused:
        return [Need(context.paths.var), Need(context.paths.root)]
    coming = sum(item.size for item in context.missing)
    archive = manifest.python and manifest.python.archive
    everything = sum(item.size for item in (manifest.app_wheel, *manifest.wheels))
    unpacked = UNPACKED * sum(item.size for item in context.missing if item != archive)
    shared = one_disk and manifest.installer == "uv"
    copied = 0 if shared else UNPACKED * everything
    return [
        *_needs_of_python(context),
        Need(context.paths.var, coming + unpacked, unpacked // BYTES_PER_FILE),
        # Hard links need space for directories only; UNPACKED includes new bytecode.
        Need(context.paths.root, copied, (copied or everything) // BYTES_PER_FILE),
    ]


def _needs_of_python(context: Context) -> Iterator[Need]:
    python = context.manifest.python
    if python and not pythons.is_sound(context.paths, python.sha256):
        # Each module gets bytecode of about its size, in folders that have to be made.
        yield Need(context.paths.pythons, 2 * python.unpacked, 2 * python.entries)


def _room(context: Context) -> Iterator[Failure]:
    var, root = existing(context.paths.var), existing(context.paths.root)
    wanted = needs(context, one_disk=os.stat(var).st_dev == os.stat(root).st_dev)
    disks: Dict[int, Need] = {}
    for need in wanted:  # those of one disk together, under the path of the last
        disk = os.stat(existing(need.path)).st_dev
        so_far = disks.get(disk, Need(""))
        disks[disk] = Need(need.path, need.size + so_far.size, need.inodes + so_far.inodes)
    for need in disks.values():
        yield from _shortage(Need(need.path, need.size + RESERVE, need.inodes + RESERVED_INODES))
    yield from _shortage(Need(context.paths.units))


def _shortage(need: Need) -> Iterator[Failure]:
    space, of = os.statvfs(existing(need.path)), f"the file system of {need.path}"
    if space.f_flag & os.ST_RDONLY:
        hint = "see why (dmesg | grep -i remount), mount it writable"
        yield problem("read-only", f"{of} is mounted read-only", hint)
        return
    free = space.f_bavail * space.f_frsize
    if free < need.size:
        what = f"{of} has {free / MIB:.0f} MiB free, {need.size / MIB:.0f} MiB are needed"
        yield problem("disk-too-small", what, "free some space, or lower keep_releases")
    if space.f_files and space.f_favail < need.inodes:
        what = f"{of} has {space.f_favail} inodes left, {need.inodes} are needed"
        yield problem("inodes-too-few", what, "many small files use them up; df -i shows where")


# --- names and ports that are taken ----------------------------------------------------


def _sockets(context: Context) -> Iterator[Failure]:
    """Find missing owners of sockets: systemd would fail to create the socket."""
    hint = "create it on the host, or correct the playbook's socket_user and socket_group"
    texts = (text for name, text in context.texts.items() if name.endswith(".socket"))
    for text in dict.fromkeys(texts):
        user, group = sockets.accounts(text)
        if user and user != context.manifest.user and not accounts.user(user):
            yield problem("no-user", f"there is no user {user} to give a socket to", hint)
        if group and group != context.manifest.user and accounts.group_id(group) is None:
            yield problem("no-group", f"there is no group {group} to give a socket to", hint)


def _socket_folders(context: Context) -> Iterator[Failure]:
    """Refuse a unix socket in a directory that users other than root can change.

    systemd creates the socket, then chowns it to its owner, following links: a user who can replace
    it by a link would get the link's target.
    """
    given = _given(context)
    for endpoint in _endpoints(context.manifest):
        if not endpoint.path:
            continue
        folder = os.path.dirname(os.path.normpath(endpoint.path))
        seen = [str(each) for each in trust.weaknesses(folder)]
        seen += [how for path, how in given.items() if f"{folder}/".startswith(f"{path}/")]
        if seen:
            what = f"users other than root can replace the socket {endpoint}: {seen[0]}"
            hint = f"put it where only root can write, for example /run/{context.paths.app}.sock"
            yield problem("socket-untrusted", what, hint)


def _given(context: Context) -> Dict[str, str]:
    """Return the folders that the release will give to another user, and how."""
    user, shared = context.manifest.user, context.paths.shared
    found = {shared: f"{shared} belongs to {user}"} if user != "root" else {}
    for each in names.wanted(context.texts):
        if each.user not in ("", "root"):
            found[each.path] = f"{each.unit} gives {each.path} to {each.user} ({each.setting})"
    return found


def _ports(context: Context) -> Iterator[Failure]:
    wanted = _endpoints(context.manifest)
    ours = {*names.ours(context.paths), *(unit.name for unit in context.manifest.units)}
    own = [endpoint for name in sorted(ours) for endpoint in _installed(context.paths, name)]
    for endpoint, owners in sockets.occupied(wanted).items():
        by_systemd = any(owner.pid == 1 for owner in owners)  # it holds the sockets of all units
        is_own = by_systemd and any(map(endpoint.collides, own))
        if is_own or any(owner.unit in ours for owner in owners):
            continue
        who = " and ".join(map(str, owners)) or "the kernel"
        what = f"{endpoint} is taken by {who}"
        socket = endpoint.path or f"the port {endpoint.port}"
        yield problem("port-taken", what, f"stop that, or give the service another than {socket}")


def _endpoints(manifest: Manifest) -> List[sockets.Endpoint]:
    addresses = [address for unit in manifest.units for address in unit.listen]
    return list(dict.fromkeys(sockets.endpoints(addresses)))


def _installed(paths: Paths, name: str) -> List[sockets.Endpoint]:
    """Return where an installed unit listens: systemd holds the sockets of the app's units."""
    is_socket = name.endswith(".socket")
    text = releases.read_text(os.path.join(paths.units, name)) if is_socket else None
    return sockets.wanted(text or "")


def survey(paths: Paths, host: Host, ask: Survey) -> Tuple[Failure, ...]:
    """Return what would prevent staging a release that has not been sent yet."""
    missing = blobs.missing(paths, pythons.needed(paths, ask.manifest))
    there = releases.manifest(paths, ask.manifest.id) is not None
    named = (paths, host, ask.manifest, ask.texts, ask.user_given)
    unsigned = signature.problems(paths, ask.manifest, ask.signed)
    return (*unsigned, *problems(Context(*named, missing=missing, reused=there)))
