"""The service's settings, from the environment."""

from pathlib import Path
from typing import Literal

from pydantic import SecretStr
from pydantic_settings import BaseSettings
from sqlalchemy import URL, make_url

from demoapp.fault import FAULT


class Settings(BaseSettings):
    """Read from the environment; only DATABASE_URL has no default."""

    database_url: SecretStr  # such as sqlite+aiosqlite:///demo.db
    state_directory: Path = Path()  # systemd sets it for the unit's StateDirectory
    greeting: str = "Hello"
    demo_url: str = "http://127.0.0.1:8000"
    demo_broken: Literal["", "healthz", "start", "late"] = FAULT

    @property
    def database(self) -> URL:
        """Return the URL of the database; a relative SQLite file lies in the state directory."""
        url = make_url(self.database_url.get_secret_value())
        if url.get_backend_name() == "sqlite" and url.database not in (None, ":memory:"):
            return url.set(database=str(self.state_directory / url.database))
        return url
