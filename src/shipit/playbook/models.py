"""A playbook as frozen models; the types of their values are in `fields`.

Each field's description and examples appear in errors, the JSON Schema and docs/playbook.md.
A model takes rendered values; `rules` checks combinations of keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from shipit.playbook.balancer.models import LoadBalancer
from shipit.playbook.canary.models import Canary, as_canary
from shipit.playbook.fields import (
    AppName,
    Batches,
    Confirm,
    Count,
    CountOrShare,
    CountOrZero,
    Destination,
    Directory,
    Duration,
    EnvValue,
    File,
    FileMode,
    FreezeWindow,
    Installer,
    Line,
    Model,
    Name,
    OneFile,
    Percentage,
    ReadContext,
    Reference,
    Root,
    TimeZone,
    Transfer,
    UserName,
    Variable,
    VarName,
    Words,
)
from shipit.playbook.health import Health, Watch, as_health, as_watch
from shipit.playbook.hooks.models import Hook, Migrate
from shipit.playbook.project import (
    Assets,
    PinnedFile,
    Project,
    Python,
    as_pinned_file,
    as_project,
    as_python,
)
from shipit.playbook.service import ENV_FILES, EnvFile, EnvFiles, Service


class Freeze(Model):
    """A window in which nothing is deployed, except with --override-freeze."""

    when: FreezeWindow = Field(
        description="From when to when: weekly, or once. The end is not part of it.",
        examples=["Fri 16:00..Mon 08:00", "2026-12-20 18:00..2027-01-04 08:00"],
    )
    timezone: TimeZone = Field(
        description="The zone of these times, by its name in the IANA database.",
        examples=["Europe/Berlin", "UTC"],
    )
    reason: Line = Field(
        default="", description="Shown where a deploy is refused.", examples=["no one is on call"]
    )


class RenderedFile(Model):
    """A file of the release, made from one on this machine."""

    src: File = Field(
        description="A text file on this machine; one whose name ends in .j2 is a template.",
        examples=["templates/logging.ini.j2"],
    )
    dest: Destination = Field(
        description="Its path in the release's files/, the services' working directory unless a"
        " `project` is no package.",
        examples=["logging.ini"],
    )
    mode: FileMode = Field(
        default=0o644,
        description="Its mode, in quotes. Files belong to root and the group of the app's user.",
        examples=["0640"],
    )


class Deployment(Model):
    """One app on one group of hosts."""

    app: AppName = Field(
        description="The app's name, used for its units, its root and its directories.",
        examples=["demoapp"],
    )
    name: Line = Field(
        default_factory=lambda data: str(data.get("app", "")),
        description="The name of this deployment in the output. Default: the app's name.",
        examples=["Ship the demo service"],
    )
    hosts: Line = Field(
        description="Which hosts of the inventory, as an Ansible pattern. No templates here.",
        examples=["web", "web:&eu:!web3"],
    )
    project: Annotated[Project | None, BeforeValidator(as_project)] = Field(
        default=None,
        description="The project that the release is built from: a path, or a mapping. Its wheel is"
        " built, and the dependencies in its lock are fetched for the hosts' Python and platform."
        " A project without a build system is shipped as it is.",
        examples=["..", {"path": "..", "groups": ["prod"]}],
    )
    bundle: Annotated[PinnedFile | None, BeforeValidator(as_pinned_file)] = Field(
        default=None,
        description="The bundle that is shipped, made by `shipit build`: its path or URL,"
        " optionally with its digest, or a mapping. Instead of `project`.",
        examples=["dist/demoapp-1.4.0.shipit", "s3://releases/demoapp-1.4.0.shipit"],
    )
    signers: File | None = Field(
        default=None,
        description="Whose bundles are deployed: a file of allowed signers, as ssh-keygen(1) has"
        " it. A host may have its own, which it enforces (docs/bundle.md).",
        examples=["signers"],
    )
    transfer: Transfer = Field(
        default="push",
        description="How hosts get their wheels: the controller sends them over SSH (`push`), or"
        " they fetch them from the URL of the bundle (`pull`, see docs/bundle.md).",
        examples=["pull"],
    )
    wheel: OneFile | None = Field(
        default=None,
        description="The app's wheel, or a pattern that exactly one file matches; instead of"
        " `project`, with `lock` and `wheelhouse`.",
        examples=["dist/demoapp-1.4.0-py3-none-any.whl"],
    )
    lock: File | None = Field(
        default=None,
        description="The versions and hashes of all dependencies: uv.lock, requirements with"
        " hashes, pylock.toml, or the lock of Poetry 2, PDM or Pipenv. Default: that of `project`.",
        examples=["uv.lock"],
    )
    wheelhouse: Directory | None = Field(
        default=None,
        description="The folder with the wheels of the lock, and the wheel of uv or pip. With"
        " `project`, they are taken from there instead of an index.",
        examples=["wheels/"],
    )
    python: Annotated[Python, BeforeValidator(as_python)] = Field(
        default=Python(),
        description="Which Pythons of the host are accepted, or a mapping: one that comes with the"
        " release. Default: any of the host that the wheel accepts.",
        examples=[">=3.11", {"version": "3.13", "source": "bundle"}],
    )
    installer: Installer | None = Field(
        default=None,
        description="What creates the venv. Default: uv if the wheelhouse has it, else pip.",
        examples=["uv"],
    )
    root: Root = Field(
        default_factory=lambda data: f"/opt/{data.get('app', '')}",
        description="The app's directory on the host. Default: /opt/<app>.",
        examples=["/opt/demoapp"],
    )
    user: UserName = Field(
        default_factory=lambda data: str(data.get("app", "")),
        description="The system user that the services run as; created if missing. Default: the"
        " app's name; to use an existing account of that name, set it here.",
        examples=["demoapp"],
    )
    keep_releases: Count = Field(
        default=5, description="How many verified releases to keep for rollbacks.", examples=[5]
    )
    vars: Mapping[VarName, Any] = Field(
        default={},
        description="Variables for {{ templates }}, in this playbook and in its files. They"
        " override those of the inventory.",
        examples=[{"port": 8000}],
    )
    env: Mapping[Variable, EnvValue] = Field(
        default={},
        description="Environment variables of all services.",
        examples=[{"PORT": "{{ port }}"}],
    )
    env_file: EnvFiles = Field(
        default=(),
        description="Dotenv files on this machine with environment variables of all services: a"
        " path, or a list of these. Their values are secret, except those listed in `public`.",
        examples=ENV_FILES,
    )
    secrets: Mapping[Variable, Reference] = Field(
        default={},
        description="Environment variables of all services that are never shown. The value is a"
        " reference to the secret: env:NAME, file:PATH or command:ARGV.",
        examples=[{"DATABASE_URL": "env:PROD_DATABASE_URL"}],
    )
    files: tuple[RenderedFile, ...] = Field(
        default=(),
        description="Files of the release besides the code.",
        examples=[[{"src": "templates/logging.ini.j2", "dest": "logging.ini", "mode": "0640"}]],
    )
    assets: Assets | None = Field(
        default=None,
        description="Static files for browsers, kept beside those of earlier releases"
        " (docs/assets.md).",
        examples=[{"from": "demoapp:static", "keep": 3}],
    )
    services: Annotated[Mapping[Name, Service], Field(min_length=1)] = Field(
        description="What runs, by name; at least one. The unit of each is <app>-<name>.service.",
        examples=[{"web": {"serve": "uvicorn demoapp.main:app", "socket": 8000}}],
    )
    smoke: Words = Field(
        default="",
        description="A command that must succeed in the new venv before anything is switched; run"
        " as the app's user, without a shell.",
        examples=["demoapp --version"],
    )
    health: Annotated[Health, BeforeValidator(as_health)] = Field(
        default=Health(),
        description="When the release counts as healthy: a list of checks, or a mapping.",
        examples=[[{"http": "http://127.0.0.1:8000/healthz"}]],
    )
    watch: Annotated[Watch | None, BeforeValidator(as_watch)] = Field(
        default=None,
        description="How long each host goes on checking the release after its commit, and at its"
        " boots (docs/watch.md): a duration, or a mapping.",
        examples=["10m", {"for": "10m", "on_failure": "rollback"}],
    )
    migrate: Migrate | None = Field(
        default=None,
        description="What is run once in a deploy, before any host is switched, to change the data"
        " that releases share (docs/migrations.md).",
        examples=[{"command": "demoapp migrate", "pending": "demoapp migrate --plan"}],
    )
    load_balancer: LoadBalancer | None = Field(
        default=None,
        description="What sends requests to the hosts: each one is drained before its switch, and"
        " undrained once it is healthy (docs/load-balancers.md).",
        examples=[
            {
                "haproxy": {
                    "sockets": ["lb1.example.com:9999"],
                    "backend": "web",
                    "server": "web1",
                },
                "wait": "30s",
            }
        ],
    )
    hooks: tuple[Hook, ...] = Field(
        default=(),
        description="Commands to run at the points of a deploy, on the hosts or here.",
        examples=[[{"when": "after_commit", "command": "demoapp warm-cache"}]],
    )
    canary: Annotated[Canary | None, BeforeValidator(as_canary)] = Field(
        default=None,
        description="The hosts that are switched first, and held there: a number, or a mapping."
        " `serial` is about the others then (docs/rollout.md).",
        examples=[1, {"hosts": 1, "hold": "10m", "checks": [{"command": "./errors-are-low.sh"}]}],
    )
    serial: Batches = Field(
        default_factory=lambda data: (1,) if data.get("load_balancer") else ("100%",),
        description="How many hosts to switch at a time: a number, a percentage, or a list of these"
        " whose last one repeats. Default: all, or with a `load_balancer` one.",
        examples=[[1, "25%", "100%"]],
    )
    max_fail_percentage: Percentage = Field(
        default=0.0,
        description="How much of the fleet may fail before every host is rolled back; unreachable"
        " hosts are counted apart. Of all hosts of the run, not of a batch (docs/rollout.md).",
        examples=[0, 10],
    )
    max_failures: CountOrZero | None = Field(
        default=None,
        description="How many hosts may fail, instead of a percentage.",
        examples=[0, 1],
    )
    max_unreachable: CountOrShare | None = Field(
        default=None,
        description="How many hosts may be unreachable: a number, or a percentage of all hosts of"
        " the run. Default: as `max_fail_percentage`.",
        examples=[1, "5%"],
    )
    freeze: tuple[Freeze, ...] = Field(
        default=(),
        description="Windows in which nothing is deployed, except with --override-freeze. Rollbacks"
        " stay possible.",
        examples=[[{"when": "Fri 16:00..Mon 08:00", "timezone": "Europe/Berlin"}]],
    )
    confirm: Confirm = Field(
        default="controller",
        description="Who commits a healthy host: the `controller`, all at once, or the `host`.",
        examples=["host"],
    )
    confirm_timeout: Duration = Field(
        default=60.0,
        description="How long a switched host waits for the controller before it rolls back.",
        examples=["60s"],
    )

    def env_files_of(self, service: str) -> tuple[EnvFile, ...]:
        """Return the files with variables of a service; a later one overrides an earlier one."""
        return (*self.env_file, *self.services[service].env_file)


# --- validating --------------------------------------------------------------------------------


def validate(
    values: Mapping[str, object], context: ReadContext
) -> Deployment | list[dict[str, Any]]:
    """Return the deployment, or all of pydantic's errors."""
    try:
        found = Deployment.model_validate(values, context=context)
    except ValidationError as error:
        return [dict(found) for found in error.errors(include_url=False)]
    services = {name: service.expanded() for name, service in found.services.items()}
    return found.model_copy(update={"services": services})


def json_schema() -> dict[str, Any]:
    return Deployment.model_json_schema()
