"""A shop: the application factory."""

import os

from flask import Flask


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["SECRET_KEY"] = os.environ["SECRET_KEY"]

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    return app
