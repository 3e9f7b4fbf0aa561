"""Find the names of a release that are taken on this host: units, directories, the account.

systemd chowns an app's directories to its user, with their content, and a unit in
/etc/systemd/system hides a package's unit of the same name. So neither is ever taken over: the app
owns only what one of its releases has installed, or what did not exist. Changes nothing.
"""

import os
import pwd
from shlex import quote
from typing import Dict, Iterator, List, Mapping, Set, Tuple

from ..host.host import Host
from ..protocol.manifest import Manifest
from ..protocol.messages import Failure
from ..protocol.rules import unit_text
from ..protocol.values import dataclass
from ..records import registry, releases
from ..system import accounts, trust
from ..system.paths import Paths

STEP = "preflight"
MARK = "shipit"  # the comment of accounts made by shipit
NOWHERE = "/nonexistent"  # the home of a system user that has none (Debian policy 9.2.3)
# systemd.exec(5): the folders of a user's directories. ConfigurationDirectory keeps its owner.
DIRECTORIES = {
    "StateDirectory": "/var/lib",
    "CacheDirectory": "/var/cache",
    "LogsDirectory": "/var/log",
    "RuntimeDirectory": "/run",
}
OF_A_NEW_DISK = {"lost+found"}
# Units that would start a service of the same name: systemd.unit(5).
WAKERS = (".socket", ".timer", ".path")


@dataclass(frozen=True)
class Named:
    """The names that a release would use on this host.

    Attributes:
        user_given: whether the playbook names the user; the default is the app's name.
    """

    paths: Paths
    host: Host
    manifest: Manifest
    texts: Mapping[str, str]
    user_given: bool = False


def problems(named: Named) -> Iterator[Failure]:
    """Yield a failure for every name that is taken."""
    yield from _units(named)
    yield from _account(named)
    yield from _directories(named)


def problem(code: str, what: str, hint: str) -> Failure:
    return Failure(code, what, STEP, hint)


# --- units -------------------------------------------------------------------------------------


def ours(paths: Paths) -> Set[str]:
    """Return the names of the units that any release of this app has installed here."""
    return {name for each in releases.listed(paths) for name in releases.unit_names(paths, each)}


def _units(named: Named) -> Iterator[Failure]:
    for unit, path in _foreign_units(named).items():
        owner = _app_with(named.paths, unit)
        whose = f"belongs to the app {owner}" if owner else "was not installed by shipit"
        what = f"{unit} already exists: {path} {whose}"
        yield problem("unit-taken", what, "give the service another name, or remove that unit")


def _foreign_units(named: Named) -> Dict[str, str]:
    """Return by name the path of each unit that exists and that no release of this app installed.

    Asks systemd, which alone knows every source: packages, generators, aliases, templates. Does
    not ask about the next instance of the app's own units: a warm deploy starts no process here.
    """
    paths, known = named.paths, ours(named.paths)
    families = {_template(name) for name in known}
    new = [unit.name for unit in named.manifest.units if unit.name not in known]
    found = {name: os.path.join(paths.units, name) for name in new}
    found = {name: path for name, path in found.items() if os.path.lexists(path)}
    asked = [name for name in new if name not in found and _template(name) not in families]
    asked += [name for unit in list(asked) for name in _relatives(unit) if name not in known]
    views = named.host.show(list(dict.fromkeys(asked)))
    for name, view in views.items():
        if view.fragment and os.path.lexists(view.fragment):
            found[name] = view.fragment
    return found


def _template(name: str) -> str:
    """Return the template of an instance; of any other unit its name."""
    prefix, at, instance = name.partition("@")
    return prefix + at + instance[instance.rfind(".") :] if at else name


def _relatives(name: str) -> List[str]:
    """Return the names of units that would start a service, and of its trial."""
    base, _, suffix = name.rpartition(".")
    if suffix != "service":
        return []
    plain = base.partition("@")[0]
    return [*(plain + waker for waker in WAKERS), f"{plain}@trial.service"]


def _app_with(paths: Paths, unit: str) -> str:
    """Return the app on this host that owns a unit, "" for none."""
    for app, known in registry.others(paths).items():
        theirs = Paths(app, known.root, paths.var, paths.units)
        if not trust.weaknesses(theirs.root, theirs.releases) and unit in ours(theirs):
            return app
    return ""


# --- the account -------------------------------------------------------------------------------


def _account(named: Named) -> Iterator[Failure]:
    """Refuse an existing account that only has the app's name by chance.

    A user named in the playbook is the author's choice: services often run as www-data.
    """
    name = named.manifest.user
    account, group = accounts.user(name), accounts.group_id(name)
    chosen = named.user_given or name != named.manifest.app
    if account is None and group is not None:
        what = f"there is a group {name} (gid {group}), but no user: the app would get its rights"
        hint = f"give the app another `user:`, or make it: useradd --system --gid {name} {name}"
        yield problem("group-taken", what, hint)
    if account is None or chosen or _is_ours(named, account):
        return
    what = (
        f"the account {name} (uid {account.pw_uid}, {account.pw_gecos or 'no comment'},"
        f" home {account.pw_dir}) was there before the app"
    )
    hint = f"if the services are to run as it, write `user: {name}`; or give them another user"
    yield problem("user-taken", what, hint)


def _is_ours(named: Named, account: pwd.struct_passwd) -> bool:
    """Whether shipit has made the account, or a release here runs as it."""
    # Some systems let users change their comment (chfn); none lets them change the home.
    if (account.pw_gecos.partition(",")[0], account.pw_dir) == (MARK, NOWHERE):
        return True
    there = (releases.manifest(named.paths, each) for each in releases.listed(named.paths))
    return any(each is not None and each.user == account.pw_name for each in there)


# --- directories -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """A directory that systemd would chown to a service's user."""

    path: str
    setting: str  # LogsDirectory=demo
    unit: str
    user: str  # "" if systemd allocates one (DynamicUser=)
    group: str = ""  # "" for the user's own

    @property
    def kind(self) -> str:
        return self.setting.partition("=")[0]


def _directories(named: Named) -> Iterator[Failure]:
    found = wanted(named.texts)
    taken = {each.path: each for each in found if _is_taken(each)}
    own = _own_directories(named) if taken else set()
    for path, each in taken.items():
        if path in own:
            continue
        whose = accounts.user_name(os.lstat(path).st_uid)
        user = each.user or "a dynamic user"
        what = f"{path} belongs to {whose}: {each.unit} ({each.setting}) would give it to {user}"
        hint = "give the app another name"
        if each.kind != "RuntimeDirectory":
            hint += f"; if it is the app's: chown -R {each.user or 'USER'}: {quote(path)}"
        yield problem("directory-taken", what, hint)


def _is_taken(each: Wanted) -> bool:
    """Whether a directory exists and does not belong to the user.

    One in /run is removed when its service stops, so it may not exist.
    """
    try:
        owner = os.stat(each.path).st_uid
        with os.scandir(each.path) as entries:  # a service may have made millions of them
            is_empty = all(entry.name in OF_A_NEW_DISK for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return os.path.lexists(each.path)
    if is_empty:
        return False
    account = accounts.user(each.user) if each.user else None
    of_user = account is not None and account.pw_uid == owner
    return not of_user or each.kind == "RuntimeDirectory"


def _own_directories(named: Named) -> Set[str]:
    """Return the directories of this app's releases on this host."""
    found: Set[str] = set()
    for each in releases.listed(named.paths):
        units, folder = releases.unit_names(named.paths, each), named.paths.release(each).units
        texts = {name: releases.read_text(os.path.join(folder, name)) or "" for name in units}
        found.update(one.path for one in wanted(texts))
    return found


def wanted(texts: Mapping[str, str]) -> Tuple[Wanted, ...]:
    """Return the directories that systemd would chown for services with these texts."""
    found = []
    for name, text in sorted(texts.items()):
        if not name.endswith(".service") or name.startswith("files/"):
            continue
        unit = name.rpartition("/")[2]
        settings = unit_text.settings(_expanded(text, unit), "Service")
        is_dynamic = unit_text.last(settings, "DynamicUser").lower() in ("yes", "true", "on", "1")
        user = "" if is_dynamic else unit_text.last(settings, "User") or "root"
        group = unit_text.last(settings, "Group")
        for key, folder in DIRECTORIES.items():
            for word in " ".join(settings.get(key, ())).replace('"', " ").split():
                path = word.partition(":")[0].strip("/")
                if path:
                    setting = f"{key}={path}"
                    found.append(Wanted(f"{folder}/{path}", setting, unit, user, group))
    return tuple(found)


def _expanded(text: str, unit: str) -> str:
    """Return a text with the specifiers of the unit's own name replaced (systemd.unit(5))."""
    stem = unit.rpartition(".")[0]
    prefix, _, instance = stem.partition("@")
    values = {"%n": unit, "%N": stem, "%p": prefix, "%i": instance, "%j": prefix.rpartition("-")[2]}
    for specifier, value in values.items():
        text = text.replace(specifier, value)
    return text
