"""The web application."""

from fastapi import FastAPI

from orders.routes import health, items

app = FastAPI(title="Orders")
app.include_router(health.router)
app.include_router(items.router, prefix="/items")
