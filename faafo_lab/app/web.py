"""The web page of the fractals: ``/`` and ``/index/PAGE``, five a page, the newest first."""

import math
from pathlib import Path
from typing import Any

from faafo_lab.app.errors import AppError, DatabaseAway, NotFound, RequestError
from faafo_lab.app.handler import Handler

TEMPLATES = Path(__file__).parent / "templates"
FRACTALS_PER_PAGE = 5


class Page(Handler):
    """One page of finished fractals."""

    route = "/index/{page}"

    async def get(self, number: str = "1") -> None:
        """Show it."""
        page = int(number[:9])
        wanted = (max(page, 1), FRACTALS_PER_PAGE, "newest", True)
        count, fractals = await self.api.ask(self.api.store.page, *wanted)
        pages = max(math.ceil(count / FRACTALS_PER_PAGE), 1)
        if not 1 <= page <= pages:
            raise NotFound(f"There is no page {page}: the last one is {pages}.")
        stats = await self.api.ask(self.api.store.stats)
        self.render("index.html", fractals=fractals, page=page, pages=pages, stats=stats, served_by=self.api.name)

    def get_template_namespace(self) -> dict[str, Any]:
        """Links are relative, so that the page works under any prefix of a proxy: `root` leads to the first page."""
        depth = self.request.path.count("/") - 1
        return super().get_template_namespace() | {"root": "../" * depth or "./"}

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """One sentence, as a page."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        message = str(error) if isinstance(error, AppError) else "The page cannot be shown."
        if isinstance(error, DatabaseAway):
            status_code = 503
            self.set_header("Retry-After", "1")
        elif isinstance(error, RequestError):
            status_code = error.status
        self.set_status(status_code)
        self.render("error.html", message=message)


ROUTES: list[tuple[str, type[Handler]]] = [(r"/", Page), (r"/index/?", Page), (r"/index/(\d+)/?", Page)]
