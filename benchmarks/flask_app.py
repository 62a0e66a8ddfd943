"""The usual alternative: the API's two routes with Flask, Flask-SQLAlchemy and kombu.

Written as their documentation shows it, for production: no debugging, a pool of connections to the database, and
kombu's pool of producers. It answers with the same JSON. ``python flask_app.py SOCKET DATABASE_URL QUEUE_URL`` serves
it with waitress, in threads, at a Unix socket. (Measured beside it: gunicorn's sync worker, which closes the connection
after each request, and its gthread worker took more CPU for a request.)
"""

import sys
from datetime import UTC, datetime
from typing import Any

import waitress
from flask import Flask, Response, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from kombu import Connection, Exchange, Queue
from kombu.pools import producers
from sqlalchemy import DateTime, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

THREADS = 4


class Base(DeclarativeBase):
    """The tables."""


db = SQLAlchemy(model_class=Base)
exchange = Exchange("tasks", type="direct")
queue = Queue("normal", exchange, routing_key="normal")


class Fractal(db.Model):  # type: ignore[name-defined,misc]
    """A fractal."""

    uuid: Mapped[str] = mapped_column(primary_key=True)
    width: Mapped[int]
    height: Mapped[int]
    iterations: Mapped[int]
    xa: Mapped[float]
    xb: Mapped[float]
    ya: Mapped[float]
    yb: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), index=True)
    published_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    completed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    attempts: Mapped[int] = mapped_column(default=0)
    leased_by: Mapped[str | None]
    c_re: Mapped[float | None]
    c_im: Mapped[float | None]
    duration: Mapped[float | None]
    size: Mapped[int | None]
    checksum: Mapped[str | None]
    generated_by: Mapped[str | None]

    def task(self) -> dict[str, Any]:
        """The message to the workers."""
        names = ("uuid", "width", "height", "iterations", "xa", "xb", "ya", "yb")
        return {name: getattr(self, name) for name in names}

    def as_dict(self) -> dict[str, Any]:
        """What the API tells."""
        names = ("duration", "size", "checksum", "generated_by", "attempts", "leased_by")
        times = {name: getattr(self, name) for name in ("created_at", "published_at", "completed_at")}
        return {
            **self.task(),
            **{name: getattr(self, name) for name in names},
            "c": None if self.c_re is None else [self.c_re, self.c_im],
            **{name: time and time.astimezone(UTC).isoformat() for name, time in times.items()},
        }


def create_app(database_url: str, queue_url: str) -> Flask:
    """The application."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = database_url.replace("postgresql://", "postgresql+psycopg://")
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_size": THREADS, "max_overflow": 0}
    db.init_app(app)
    broker = Connection(queue_url)
    with app.app_context():
        db.create_all()

    @app.post("/v1/fractal")
    def create() -> tuple[Response, int]:
        fractal = Fractal(**request.get_json())
        db.session.add(fractal)
        db.session.commit()
        with producers[broker].acquire(block=True) as producer:
            producer.publish(
                fractal.task(), serializer="json", exchange=exchange, routing_key="normal", declare=[queue], retry=True
            )
        return jsonify(fractal.as_dict()), 201

    @app.get("/v1/fractal")
    def index() -> Response:
        found = db.paginate(
            db.select(Fractal).order_by(Fractal.created_at, Fractal.uuid),
            page=request.args.get("page", 1, type=int),
            per_page=request.args.get("results_per_page", 10, type=int),
            error_out=False,
        )
        objects = [fractal.as_dict() for fractal in found.items]
        return jsonify(num_results=found.total, objects=objects, page=found.page, total_pages=found.pages)

    return app


if __name__ == "__main__":
    socket, *urls = sys.argv[1:]
    waitress.serve(create_app(*urls), unix_socket=socket, threads=THREADS)
