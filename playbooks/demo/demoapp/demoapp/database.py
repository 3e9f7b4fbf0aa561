"""Count visits."""

from datetime import UTC, datetime

from sqlalchemy import URL, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateTable


class Base(DeclarativeBase):
    pass


class Visit(Base):
    __tablename__ = "visit"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    version: Mapped[str]


class Visits:
    """The visits in one database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.session = async_sessionmaker(engine)

    @classmethod
    async def open(cls, url: URL) -> "Visits":
        """Connect, and create the table if it is missing: another release may do so, too."""
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.execute(CreateTable(Visit.__table__, if_not_exists=True))
        return cls(engine)

    async def add(self, version: str) -> None:
        async with self.session.begin() as session:
            session.add(Visit(at=datetime.now(UTC), version=version))

    async def count(self) -> int:
        async with self.session() as session:
            return await session.scalar(select(func.count(Visit.id))) or 0

    async def close(self) -> None:
        await self.engine.dispose()
