"""The web page in a real browser, headless Chromium, as its readers see it. Screenshots go to `build/web-*.png`."""

import re
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import sqlalchemy as sa

from faafo_lab.app import database
from faafo_lab.app.schema import runs
from faafo_lab.workbook import BUILD
from tests.app.deployment import AUTHORIZED, Deployment, a_task, no_fractals, status
from tests.app.test_app_rest import a_result
from tests.chromium import chromium, needs_chromium
from tests.waiting import LIMIT_SECONDS, wait_for

HOSTILE = '<script>document.title="broken"</script><img src=x onerror=\'document.title="broken"\'>"\' & co'
PHONE, TABLET, WIDE = (360, 740), (820, 1180), (1920, 1080)
CONTRAST_LEAST = 4.5  # WCAG 2, level AA, for text
pytestmark = pytest.mark.long

# The lowest contrast of any text that is seen, against the colour behind it; and where it is.
CONTRAST = """() => {
    const numbers = colour => (colour.match(/[\\d.]+/g) ?? []).map(Number);
    const linear = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => [r, g, b].map(c => linear(c / 255))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        for (let one = element; one; one = one.parentElement) {
            const colour = numbers(getComputedStyle(one).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
    };
    const seen = [...document.querySelectorAll('body *')].filter(one => one.checkVisibility()
        && one.getBoundingClientRect().width > 1
        && [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
    return seen.map(one => {
        const [a, b] = [light(numbers(getComputedStyle(one).color)), light(behind(one))];
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.outerHTML.slice(0, 80)];
    }).sort((a, b) => a[0] - b[0])[0];
}"""


class Site:
    """A deployment whose API, named "app-api-1", listens at a TCP port, and one who orders and draws by hand."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.url = deployment.api_at_tcp("app-api-1")
        self.client = httpx.Client(base_url=self.url, timeout=LIMIT_SECONDS)

    def clear(self) -> None:
        """Remove what earlier tests have made: fractals, workers, other APIs, and their processes."""
        for name in set(self.deployment.processes) - {"database", "messaging", "app-api-1"}:
            self.deployment.stop(name, signal.SIGKILL)
        no_fractals(self.client)
        engine = database.connect(self.deployment.database_url(), 1)
        with engine.begin() as connection:
            connection.execute(sa.delete(runs).where(runs.c.name != "app-api-1"))
        engine.dispose()

    def again(self) -> None:
        """Start the API once more, where it was."""
        address = self.url.removeprefix("http://")
        self.deployment.start("app-api-1", "api", "--listen", address, HOSTNAME="app-api-1")
        wait_for("the API", lambda: status(self.client, "/health") == 200)

    def made(self, generated_by: str = "app-worker-1", **changes: Any) -> str:
        """Order a fractal and draw it; its uuid."""
        task = a_task(**changes)
        assert self.client.post("/v1/fractal", json=task).status_code == 201
        result = a_result(task, generated_by=generated_by, c=[-0.5, 0.25])
        answer = self.client.put(f"/v1/fractal/{task['uuid']}", json=result, headers=AUTHORIZED)
        assert answer.status_code == 200, answer.text
        return str(task["uuid"])

    def works(self, name: str, *on: str, state: str = "working") -> None:
        """A worker's heartbeat, which takes leases of what it works on."""
        beat = {"name": name, "run": str(uuid.uuid4()), "state": state, "working_on": list(on), "cpu_percent": 40.0}
        beat |= {"load_average": [0.5, 0.2, 0.1], "cores": 1, "version": "1"}
        assert self.client.post("/v1/node", json=beat, headers=AUTHORIZED).status_code == 200

    def requests(self, status: str) -> float:
        """How many requests for the page were answered so."""
        found = re.search(
            rf'faafo_http_requests_total{{method="GET",route="/index/{{page}}",status="{status}"}} (\S+)',
            self.client.get("/metrics").text,
        )
        return float(found[1]) if found else 0.0


@pytest.fixture(scope="module")
def shared_site() -> Iterator[Site]:
    with closing(Deployment()) as deployment:
        deployment.database()
        deployment.messaging()
        site = Site(deployment)
        with closing(site.client):
            yield site


@pytest.fixture
def site(shared_site: Site) -> Site:
    """The site without any fractals; a test that breaks something repairs it."""
    shared_site.clear()
    return shared_site


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    BUILD.mkdir(exist_ok=True)
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Any, site: Site) -> Iterator[Callable[..., Any]]:
    """Opens the site's page, in a window of a size and a scheme; no page may say an error in its console."""
    contexts, complaints, hosts = [], [], set()

    def opened(path: str = "/", size: tuple[int, int] = (1280, 800), **settings: Any) -> Any:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(LIMIT_SECONDS * 1000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if "Content Security" in line.text else None)
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(site.url + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert hosts <= {urlsplit(site.url).netloc}  # nothing from another host


def shown(page: Any) -> list[str]:
    """The uuids of the fractals in the page."""
    return [
        one.removeprefix("fractal-")
        for one in page.eval_on_selector_all("#fractals > li", "all => all.map(one => one.id)")
    ]


def counts(page: Any) -> dict[str, str]:
    """What is counted at the top of the page."""
    pairs = "all => all.map(one => [...one.children].map(child => child.textContent))"
    return dict(page.eval_on_selector_all("#counts > div", pairs))


def focused(page: Any) -> str:
    """What has the focus: its text or its name."""
    return str(page.evaluate("() => document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()"))


def picture(page: Any, name: str) -> None:
    """Keep what the browser shows, and see that it can be read: nothing wider than the window, contrast in text."""
    page.evaluate("() => [...document.images].forEach(one => one.loading = 'eager')")
    page.evaluate("() => Promise.all([...document.images].filter(one => one.src).map(one => one.decode()))")
    page.screenshot(path=BUILD / f"web-{name}.png", full_page=True)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), name
    lowest, where = page.evaluate(CONTRAST)
    assert lowest >= CONTRAST_LEAST, (name, where)


# Without a browser


def test_who_knows_the_page_is_told_304_until_something_changes(client: httpx.Client) -> None:
    first = client.get("/")
    known = {"If-None-Match": first.headers["ETag"]}

    def answer() -> httpx.Response:
        return client.get("/", headers=known)

    assert first.headers["Cache-Control"] == "no-cache"
    client.post("/v1/fractal", json=a_task())
    changed = wait_for("another page", lambda: (got := answer()).status_code == 200 and got)
    assert "<dt>waiting</dt><dd>1</dd>" in changed.text
    known["If-None-Match"] = changed.headers["ETag"]

    def unchanged() -> bool:  # but for this machine's load, which others' work changes
        got = answer()
        known["If-None-Match"] = got.headers["ETag"]
        return got.status_code == 304 and got.content == b""

    wait_for("304", unchanged)


def test_the_page_answers_head_as_get_and_says_what_else_it_does_not(client: httpx.Client) -> None:
    head, page = client.head("/index/1"), client.get("/index/1")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("Content-Type", "Cache-Control", "Content-Security-Policy"):
        assert head.headers[name] == page.headers[name]
    assert client.head("/index/9").status_code == 404
    refused = client.post("/")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")
    assert "POST does not exist for this page." in refused.text


def test_two_apis_give_the_same_page_the_same_etag(site: Site) -> None:
    with closing(site.deployment.api("app-api-2")) as other:
        site.made()
        wait_for(
            "the same",
            lambda: site.client.get("/").headers["ETag"] == other.get("/").headers["ETag"],
        )
        assert "Served by app-api-2" in other.get("/").text


def test_the_page_allows_nothing_from_elsewhere(client: httpx.Client) -> None:
    for path, expected in (("/", 200), ("/index/9", 404)):
        answer = client.get(path)
        assert answer.status_code == expected
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert {policy[f"{name}-src"] for name in ("script", "style", "img", "connect")} == {"'self'"}
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "<style" not in answer.text
        assert not re.search(r"<script(?![^>]* src=)| on\w+=", answer.text)


def test_script_style_and_icon_are_kept_for_as_long_as_they_are_the_same(client: httpx.Client) -> None:
    text = client.get("/index/1").text
    for name, kind in (("page.js", "javascript"), ("page.css", "text/css"), ("icon.svg", "image/svg+xml")):
        [address] = re.findall(rf'"\.\.(/static/{re.escape(name)}\?v=\w+)"', text)
        answer = client.get(address)
        assert answer.status_code == 200
        assert kind in answer.headers["Content-Type"]
        assert int(re.findall(r"max-age=(\d+)", answer.headers["Cache-Control"])[0]) > 1e7
        assert client.get(address, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    for path in ("/static/", "/static/none.js", "/static/../web.py", "/static/..%2fweb.py"):
        assert client.get(path).status_code == 404


def test_each_fractal_is_an_article_whose_picture_and_heading_say_what_it_is(client: httpx.Client) -> None:
    tasks = [a_task() for _ in range(7)]
    for task, seconds in zip(tasks, (0.0, 0.00004, 0.00321, 0.0456, 0.412, 3.21, 75.4), strict=True):
        assert client.get("/").text.count("<article>") == min(tasks.index(task), 5)
        client.post("/v1/fractal", json=task)
        result = a_result(task, generated_by="app-worker-1", c=[-0.5, 0.25], duration=seconds)
        client.put(f"/v1/fractal/{task['uuid']}", json=result, headers=AUTHORIZED)
    texts = [client.get(f"/index/{page}").text for page in (1, 2)]
    assert [text.count("<article>") for text in texts] == [5, 2]
    alt = "Julia set of c = -0.5000 +0.2500i, 60 by 40 pixels, made by app-worker-1"
    assert texts[0].count(f'alt="{alt}"') == 5
    headings = [re.findall(r'<h3 class="maker"><b>app-worker-1</b> <span>(.*?)</span></h3>', text) for text in texts]
    assert headings == [["75 s", "3.2 s", "0.41 s", "46 ms", "3.2 ms"], ["40 µs", "0 s"]]


def test_names_are_escaped_by_the_server(client: httpx.Client) -> None:
    task = a_task()
    client.post("/v1/fractal", json=task)
    client.put(f"/v1/fractal/{task['uuid']}", json=a_result(task, generated_by=HOSTILE), headers=AUTHORIZED)
    text = client.get("/").text
    assert "document.title" in text
    assert "<script>document" not in text
    assert "<img src=x" not in text
    assert "\"' & co" not in text


# In a browser


@needs_chromium
def test_it_works_without_a_script(site: Site, open_page: Callable[..., Any]) -> None:
    uuids = [site.made() for _ in range(7)]
    page = open_page(java_script_enabled=False)
    assert page.locator("#fractals > li").count() == 5
    assert page.locator("#live").is_hidden()
    page.get_by_text("More", exact=False).first.click()
    assert page.get_by_text(uuids[-1], exact=True).first.is_visible()
    page.get_by_role("link", name="Older").click()
    assert page.get_by_text("Page 2 of 2").is_visible()
    page.locator("a.picture").first.click()
    assert f"/fractal/{uuids[1]}?checksum=" in page.url


@needs_chromium
def test_the_page_updates_by_itself(site: Site, open_page: Callable[..., Any]) -> None:
    page = open_page()
    assert page.get_by_text("No fractal is made yet").is_visible()
    assert page.get_by_text("No worker is here").is_visible()
    page.evaluate("() => window.same = true")
    task = a_task()
    site.client.post("/v1/fractal", json=task)
    site.works("app-worker-1", task["uuid"])
    link = page.get_by_role("link", name=f"fractal {task['uuid']}")
    link.wait_for()
    assert page.locator("#workers li").inner_text().split("\n")[0].startswith("app-worker-1")
    assert page.locator("#workers .state").inner_text() == "working"
    assert counts(page) == {"made": "0", "in work": "1", "waiting": "0", "worker": "1"}
    uuids: list[str] = []
    for _ in range(7):
        uuids.insert(0, site.made())
        wait_for("the fractals, the newest first", lambda: shown(page) == uuids[:5])
    assert not page.get_by_text("No fractal is made yet").is_visible()
    assert page.get_by_text("Page 1 of 2").is_visible()
    assert page.evaluate("() => [...document.images].slice(0, 2).every(one => one.naturalWidth > 0)")
    site.client.delete(f"/v1/fractal/{uuids[0]}", headers=AUTHORIZED)
    wait_for("the deleted one to go", lambda: shown(page) == uuids[1:6])
    assert page.evaluate("() => window.same")  # it was never loaded anew


@needs_chromium
def test_new_fractals_disturb_nobody_who_reads(site: Site, open_page: Callable[..., Any]) -> None:
    uuids = [site.made() for _ in range(7)][::-1]
    page = open_page(size=PHONE)
    page.locator("#fractals > li").nth(3).scroll_into_view_if_needed()
    place = page.evaluate("() => document.querySelectorAll('#fractals > li')[3].getBoundingClientRect().top")
    page.locator("a.picture").nth(3).focus(timeout=1000)
    new = [site.made() for _ in range(2)][::-1]
    news = page.get_by_role("link", name="2 new fractals")
    news.wait_for()
    assert shown(page) == uuids[:5]
    assert page.evaluate("() => document.querySelectorAll('#fractals > li')[3].getBoundingClientRect().top") == place
    assert page.evaluate("() => document.activeElement.closest('li').id") == f"fractal-{uuids[3]}"
    assert counts(page)["made"] == "9"  # the counts go on
    picture(page, "phone-news")
    news.click()
    assert shown(page) == (new + uuids)[:5]
    wait_for("the top", lambda: page.evaluate("() => scrollY") == 0)
    assert not page.locator("#news a").is_visible()

    second = open_page("/index/2")
    assert shown(second) == (new + uuids)[5:]
    site.made()
    news = second.get_by_role("link", name="1 new fractal")
    news.wait_for()
    assert shown(second) == (new + uuids)[5:]
    news.click()
    second.get_by_text("The newest fractals").wait_for()
    assert urlsplit(second.url).path == "/"


@needs_chromium
def test_it_can_be_paused(site: Site, open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.get_by_role("button", name="Live").click()
    page.get_by_role("button", name="Paused").wait_for()
    before = site.requests("200") + site.requests("304")
    new = site.made()
    page.reload()  # what is asked for is shown; and it stays paused
    assert shown(page) == [new]
    site.made()
    page.get_by_role("button", name="Paused").click()
    wait_for("both", lambda: len(shown(page)) == 2)
    assert site.requests("200") + site.requests("304") >= before + 2


@needs_chromium
def test_an_idle_page_is_told_304_and_a_hidden_one_does_not_ask(site: Site, open_page: Callable[..., Any]) -> None:
    site.made()
    page = open_page()
    polled = site.requests("304")
    wait_for("304", lambda: site.requests("304") > polled + 1)
    page.clock.install()
    page.reload()
    # Headless pages are never hidden by themselves: say it as the browser would
    hide = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true}); "
    hide += "document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)
    asked: list[str] = []  # by the page's script: the browser itself asks for the icon when it likes
    page.on("request", lambda request: asked.append(request.url) if request.resource_type == "fetch" else None)
    new = site.made()
    page.clock.fast_forward("10:00")
    assert asked == []
    page.evaluate(hide, False)
    wait_for("the new one", lambda: new in shown(page))


@needs_chromium
def test_the_page_outlasts_its_api(site: Site, open_page: Callable[..., Any]) -> None:
    first = site.made()
    page = open_page()
    page.evaluate("() => window.same = true")
    wait_for("the picture", lambda: page.evaluate("() => document.images[0].naturalWidth > 0"))
    site.deployment.stop("app-api-1", signal.SIGKILL)
    away = page.get_by_text("No answer from the server")
    away.wait_for()
    assert page.get_by_role("status").inner_text() == away.inner_text()
    assert page.get_by_role("button", name="Away").is_visible()
    assert shown(page) == [first]
    picture(page, "away")
    site.again()
    second = site.made()
    wait_for("the new one", lambda: shown(page) == [second, first])
    assert page.get_by_role("button", name="Live").is_visible()
    assert "current again" in page.get_by_role("status").text_content()
    assert page.evaluate("() => window.same")


@needs_chromium
def test_the_page_says_that_the_database_is_away_and_comes_back(site: Site, open_page: Callable[..., Any]) -> None:
    page = open_page()
    site.deployment.stop("database", signal.SIGKILL)
    page.get_by_text("The database does not answer").wait_for()
    picture(page, "database-away")
    late = open_page(color_scheme="dark")
    assert late.get_by_text("The database does not answer").is_visible()
    assert late.get_by_text("tries again by itself").is_visible()
    picture(late, "database-away-when-opened")
    site.deployment.database()
    late.get_by_text("The newest fractals").wait_for()
    page.get_by_role("button", name="Live").wait_for()


@needs_chromium
def test_everything_is_reached_with_the_keyboard(site: Site, open_page: Callable[..., Any]) -> None:
    uuids = [site.made() for _ in range(7)][::-1]
    page = open_page()

    def tab() -> str:
        page.keyboard.press("Tab")
        outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", focused(page)  # the focus is seen
        return focused(page)

    assert [tab() for _ in range(4)] == ["Skip to the fractals", "Fractals", "worker" + "s", "Live"]
    page.keyboard.press("Shift+Tab")
    for _ in range(2):
        page.keyboard.press("Shift+Tab")
    assert focused(page) == "Skip to the fractals"
    assert page.locator(".skip").bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    tab()
    assert page.evaluate("() => document.activeElement.className") == "picture"
    page.keyboard.press("Enter")
    viewer = page.get_by_role("dialog")
    viewer.wait_for()
    assert viewer.get_by_text(uuids[0], exact=True).is_visible()
    picture(page, "dialog")
    page.keyboard.press("ArrowRight")
    viewer.get_by_text(uuids[1], exact=True).wait_for()
    page.keyboard.press("Escape")
    viewer.wait_for(state="hidden")
    page.wait_for_function("id => document.activeElement.closest('li')?.id === id", arg=f"fractal-{uuids[1]}")
    assert "More" in tab()
    page.keyboard.press("Enter")
    assert page.get_by_text(uuids[1], exact=True).first.is_visible()
    page.keyboard.press("ArrowRight")
    page.get_by_text("Page 2 of 2").wait_for()
    page.keyboard.press("ArrowLeft")
    page.get_by_text("Page 1 of 2").wait_for()


@needs_chromium
def test_a_name_that_is_a_script_stays_a_name(site: Site, open_page: Callable[..., Any]) -> None:
    site.made(HOSTILE)
    page = open_page()
    page.evaluate("() => window.same = true")
    new = site.made(HOSTILE)
    site.deployment.start("hostile", "api", "--listen", "127.0.0.1:0", HOSTNAME=HOSTILE)
    wait_for("the new one", lambda: new in shown(page))
    wait_for("the API", lambda: page.locator("#apis li").count() == 2)
    assert set(page.locator("#apis b").all_inner_texts()) == {HOSTILE, "app-api-1"}
    page.locator("a.picture").first.click()
    for name in (page.locator(".maker b").first, page.locator("#viewer-title")):
        assert HOSTILE in name.inner_text()
    assert page.evaluate("() => [window.same, document.title, document.scripts.length]") == [
        True,
        "Fractals, page 1",
        1,
    ]


@needs_chromium
def test_it_fits_every_window_in_light_and_dark(site: Site, open_page: Callable[..., Any]) -> None:
    def shot(name: str, page: Any) -> Any:
        """A picture, and the colour behind it; the page is closed then, or it would go on asking beside the next."""
        picture(page, name)
        ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        page.context.close()
        return ground

    for scheme in ("light", "dark"):
        shot(f"empty-{scheme}", open_page(size=WIDE, color_scheme=scheme))
    for width, height in ((952, 382), (640, 640), (60, 900), (900, 20), (1, 1), (800, 600), (700, 500)):
        site.made("app-worker-1", width=width, height=height, iterations=200)
    site.made("a-worker-with-a-name-as-long-as-names-may-be." * 5)
    orders = [a_task()["uuid"] for _ in range(60)]
    for order in orders:
        site.client.post("/v1/fractal", json=a_task(uuid=order))

    def all_report() -> None:
        for number, order in enumerate(orders, start=1):
            state = "draining" if number % 20 == 0 else "working" if number % 3 else "idle"
            site.works(f"app-worker-{number}", *([order] if state == "working" else []), state=state)

    grounds = set()
    for name, size in (("phone", PHONE), ("tablet", TABLET), ("wide", WIDE)):
        for scheme in ("light", "dark"):
            all_report()
            page = open_page(size=size, color_scheme=scheme, reduced_motion="reduce")
            assert page.locator("#workers li").count() == 60
            assert page.locator("#workers li").nth(9).inner_text().startswith("app-worker-10")
            grounds.add(shot(f"{name}-{scheme}", page))
            shot(f"{name}-{scheme}-page-2", open_page("/index/2", size, color_scheme=scheme))
    assert len(grounds) == 2
