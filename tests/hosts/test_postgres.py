"""The recipe for Django in docs/migrations.md, as it stands there, with a real PostgreSQL.

PostgreSQL comes from its packages, which are not installed here, and runs on a host of the lab.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import wheelhouse
from hosts.packages import unpacked
from hosts.site import HOSTS, at_rest
from hosts.test_migrations import migrating, problems
from hosts.test_recipes import APPS, filled, modules
from hosts.workspace import Done, Workspace, ended, heard
from patience import until

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

BOOK = Path(__file__).parents[2] / "docs/migrations.md"
APP, PASSWORD = "mystore", "Pg-s3ntinel-7Q"
POSTGRES = (
    "postgresql-15 postgresql-client-15 libpq5 libicu72 libxml2 libldap-2.5-0 libsasl2-2"
    " libsasl2-modules-db"
)
PATIENCE = 60.0  # seconds
NOTE = '    note = models.CharField(max_length=100, default="", db_default="")\n'
CONTRACT = """
from django.db import migrations

class Migration(migrations.Migration):
    dependencies = [("shop", "0002_note")]
    operations = [migrations.RemoveField("Item", "note")%s]
"""
SLEEP = ', migrations.RunSQL("SELECT pg_sleep(300)")'
START = """set -eu
useradd --system postgres 2>/dev/null || true
install -d -o postgres /srv/data /run/postgresql
export LD_LIBRARY_PATH=%(libraries)s
su postgres -s /bin/sh -c "echo %(password)s > /srv/data.pw && \\
  %(bin)s/initdb -D /srv/data --auth=scram-sha-256 --pwfile=/srv/data.pw -U postgres" >/dev/null
echo "host all all all scram-sha-256" >> /srv/data/pg_hba.conf
systemd-run -q --unit postgres --uid postgres -E LD_LIBRARY_PATH=%(libraries)s \\
  %(bin)s/postgres -D /srv/data -c listen_addresses='*' -c timezone=GMT -c log_timezone=GMT \\
  -c client_connection_check_interval=1s
"""


@dataclass
class Shop:
    """An app on two hosts, whose database is on the second one."""

    workspace: Workspace

    def start_database(self) -> None:
        root, host = self.workspace.lab.hosts["web2"].root, "web2"
        shutil.copytree(unpacked("postgres", POSTGRES), root / "srv/postgres", symlinks=True)
        libraries = "/srv/postgres/usr/lib/x86_64-linux-gnu"
        names = {"libraries": libraries, "password": PASSWORD, "bin": self.programs}
        self.workspace.sh(host, "chown -R root:root /srv/postgres; chmod 1777 /srv")
        self.workspace.sh(host, START % names)
        until(self.answers, lambda: self.workspace.sh(host, "journalctl -n 40"), PATIENCE)
        self.sql("CREATE DATABASE store", "postgres")

    programs = "/srv/postgres/usr/lib/postgresql/15/bin"

    def answers(self) -> bool:
        command = "LD_LIBRARY_PATH=/srv/postgres/usr/lib/x86_64-linux-gnu"
        ready = f"{command} {self.programs}/pg_isready -h 127.0.0.1 >/dev/null && echo yes || true"
        return self.workspace.sh("web2", ready) == "yes"

    def sql(self, text: str, database: str = "store") -> str:
        url = f"postgresql://postgres:{PASSWORD}@127.0.0.1/{database}"
        libraries = "LD_LIBRARY_PATH=/srv/postgres/usr/lib/x86_64-linux-gnu"
        return self.workspace.sh(
            "web2", f'{libraries} {self.programs}/psql -qAt "{url}" -c "{text}"'
        )

    def applied(self) -> list[str]:
        return self.sql("SELECT name FROM django_migrations WHERE app = 'shop'").split()

    def columns(self) -> set[str]:
        query = "SELECT column_name FROM information_schema.columns WHERE table_name = 'shop_item'"
        return set(self.sql(query).split())

    def release(self, version: str, contract: str | None = None, **changes: Any) -> None:  # noqa: ANN401
        """Write the wheel of a release and the playbook of the book; the first one has no note."""
        found = modules(APP)
        if version.startswith("1."):
            del found["mystore/shop/migrations/0002_note.py"]
        if version.startswith("1.") or contract is not None:
            models = found["mystore/shop/models.py"]
            assert NOTE in models
            found["mystore/shop/models.py"] = models.replace(NOTE, "")
        if contract is not None:
            found["mystore/shop/migrations/0003_drop.py"] = CONTRACT % contract
        recipe = wheelhouse.Recipe(APP, version, files=found)
        wheel = wheelhouse.write_wheel(self.workspace.folder, recipe)
        part: dict[str, Any] = yaml.safe_load(book("Django"))
        part["migrate"].update(changes)
        brisk = {"min_healthy": "300ms", "interval": "50ms", "deadline": "60s"}
        usual = {"smoke": None, "project": None, "wheel": wheel.name, "app": APP}
        health = {"checks": part.pop("health"), **brisk}
        self.workspace.playbook(version, **{**part, **usual, "health": health})

    def deploy(self, *words: str) -> Done:
        return self.workspace.shipit("deploy", "--json", *words)

    def served(self) -> list[dict[str, Any]]:
        return [self.workspace.serves(host) for host in HOSTS]


def book(heading: str) -> str:
    """Return the playbook of a section of docs/migrations.md."""
    section = rf"^## {heading}\n.*?^```yaml\n(.*?)^```"
    (text,) = re.findall(section, BOOK.read_text(), re.MULTILINE | re.DOTALL)
    return str(text)


@pytest.fixture(scope="module")
def shop(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    lab.reset(*HOSTS)
    workspace = Workspace.set(tmp_path_factory.mktemp("store"), lab, HOSTS)
    lock = APPS / APP / "requirements.lock"
    shutil.copytree(filled(lock), workspace.wheels, dirs_exist_ok=True)
    shutil.copy(lock, workspace.folder / "requirements.lock")
    address = lab.hosts["web2"].address
    workspace.env["PROD_DATABASE_URL"] = f"postgresql://postgres:{PASSWORD}@{address}:5432/store"
    made = Shop(workspace)
    made.start_database()
    return made


@pytest.mark.index
def test_the_recipe_for_django_migrates_a_real_database(shop: Shop) -> None:
    # The first deploy: the schema is there before the first service starts.
    shop.release("1.0.0")
    first = shop.deploy()
    assert first.status == 0, first.output
    said = [line["text"] for line in first.reported("hook-output", host="web1")]
    assert any("Create model Item" in text for text in said), said  # `pending`
    assert any("Applying shop.0001_items... OK" in text for text in said)
    assert PASSWORD not in first.output
    pen = {"id": 1, "name": "pen"}
    assert shop.served() == [{"version": "1.0.0", "items": [pen]}] * 2
    # It expands the schema, and a rollback finds it so.
    shop.release("2.0.0")
    assert shop.deploy().status == 0
    assert shop.applied() == ["0001_items", "0002_note"]
    assert shop.served() == [{"version": "2.0.0", "items": [{**pen, "note": ""}]}] * 2
    assert shop.workspace.shipit("rollback").status == 0
    assert shop.served() == [{"version": "1.0.0", "items": [pen]}] * 2
    assert shop.columns() == {"id", "name", "note"}
    again = shop.deploy("--override-hold", "-m", "it was rolled back to see whether that works")
    assert again.status == 0, again.output


@pytest.mark.index
def test_a_migration_that_was_killed_is_undone_by_postgres_and_asked_about(shop: Shop) -> None:
    shop.release("3.0.0", contract=SLEEP, reversible=False)
    process = shop.workspace.start("deploy", "--json")
    lines = heard(process, migrating)
    busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)%'"
    until(lambda: shop.sql(busy) == "2", lambda: shop.sql(busy), PATIENCE)  # one is the question
    pid = shop.workspace.sh("web1", "systemctl show -p MainPID --value shipit-mystore.service")
    shop.workspace.sh("web1", f"kill -KILL {pid}")
    done = ended(process, lines)
    assert done.status == 3, done.output
    at_rest(shop.workspace.lab)
    # PostgreSQL has to notice first: until then the table is locked.
    until(lambda: shop.sql(busy) == "1", lambda: shop.sql(busy), PATIENCE)
    assert shop.columns() == {"id", "name", "note"}
    assert {page["version"] for page in shop.served()} == {"2.0.0"}
    shop.release("3.0.1", contract="", reversible=False)
    refused = shop.deploy()
    assert refused.status == 3
    assert problems(refused) == {(host, "migration-unfinished") for host in HOSTS}
    again = shop.deploy("--migrate-again")
    assert again.status == 0, again.output
    assert shop.columns() == {"id", "name"}
    back = shop.workspace.shipit("rollback", "--json")
    assert problems(back) == {(host, "migration-irreversible") for host in HOSTS}
    assert {page["version"] for page in shop.served()} == {"3.0.1"}
