"""The book in a real Chromium, opened from disk: ``make book-test``.

Needs the built book (``ECSTFL_BOOK=build/book/html``), playwright and a Chromium (``apt install
chromium``, or name it in ``ECSTFL_CHROMIUM``). ``ECSTFL_SCREENSHOTS=FOLDER`` keeps pictures of the
landing page and the lessons at 400 and 1200 pixels.
"""

import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

if "ECSTFL_BOOK" not in os.environ:
    pytest.skip("the book's own tests: make book, then make book-test", allow_module_level=True)
playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is missing: make book-test installs it"
)

BOOK = Path(os.environ["ECSTFL_BOOK"]).resolve()
FOUND = sorted(path.relative_to(BOOK).as_posix() for path in BOOK.rglob("*.html"))
ALL = [name for name in FOUND if not name.startswith("_static/")]  # there: the theme's templates
READ = [name for name in ALL if not re.match(r"genindex|py-modindex", name)]
LESSONS = [name for name in ALL if re.match(r"notebooks/\d\d_", name)]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
NOT_TEXT = "pre, code, script, style, mjx-container"

# ---------------------------------------------------------------------------- the files


class Tags(HTMLParser):
    """Collects what a page refers to, its anchors, and its pictures."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.ids, self.silent = [], [], set(), []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if values.get("id"):
            self.ids.add(values["id"])
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "link" and values.get("rel") not in ("canonical", "author"):
            self.loads.append(values.get("href", ""))
        if tag in ("script", "img", "iframe", "video", "source", "audio", "embed", "object"):
            self.loads.append(values.get("src") or values.get("data") or "")
        if tag == "img" and not (values.get("alt") or "").strip():
            self.silent.append(values.get("src", "")[:80])


@pytest.fixture(scope="module")
def tags():
    return {name: Tags(BOOK / name) for name in ALL}


def test_the_book_is_whole(tags):
    assert len(LESSONS) >= 11
    for name in ("index.html", "search.html", "docs/results.html", "docs/loss.html"):
        assert name in tags
    for name in ("INSTRUCTOR.html", "data/README.html", "models/MODEL_CARD.html"):
        assert name in tags
    assert "ecstfl.losses.ec_stfl.ec_stfl_loss" in tags["api/losses.html"].ids
    # the pictures of the results can be opened; test_no_link_is_broken sees that they are there
    assert "../figures/landed/full/forest.png" in tags["docs/results.html"].links


def test_no_link_is_broken(tags):
    broken = []
    for name, page in tags.items():
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not link:
                continue
            target = (BOOK / name).parent / unquote(parts.path) if parts.path else BOOK / name
            target = Path(os.path.normpath(target))
            if not target.is_file():
                broken.append(f"{name}: {link}")
            elif parts.fragment and target.suffix == ".html":
                there = tags[target.relative_to(BOOK).as_posix()].ids
                if unquote(parts.fragment) not in there:
                    broken.append(f"{name}: {link}")
    assert not broken


def test_nothing_is_loaded_from_elsewhere(tags):
    far = [
        f"{name}: {address[:80]}"
        for name, page in tags.items()
        for address in page.loads
        if re.match(r"(?:https?:)?//", address)
    ]
    far += [
        f"{path.relative_to(BOOK)}: {address}"
        for path in BOOK.rglob("*.css")
        for address in re.findall(r"url\(['\"]?((?:https?:)?//[^)]*)", path.read_text("utf-8"))
    ]
    assert not far


def test_every_picture_has_words(tags):
    assert not {name: page.silent for name, page in tags.items() if page.silent}


# ---------------------------------------------------------------------------- the browser


@pytest.fixture(scope="module")
def browser():
    given = os.environ.get("ECSTFL_CHROMIUM")
    path = given or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium: apt install chromium, or name it in ECSTFL_CHROMIUM")
    with playwright.sync_playwright() as play:
        started = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser):
    """Open a page of the book in a browser that has never seen it; at the end, no complaints."""
    complaints = []
    contexts = []

    def heard(message):
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def asked(request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            complaints.append(f"asks for {request.url}")

    def open_page(name, width=1200, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", asked)
        path, _, query = name.partition("?")
        page.goto((BOOK / path).as_uri() + (f"?{query}" if query else ""))
        page.evaluate("window.MathJax ? MathJax.startup.promise : null")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def keep(page, name, width):
    folder = os.environ.get("ECSTFL_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        stem = name.removesuffix(".html").replace("/", "-")
        page.screenshot(path=Path(folder) / f"{stem}-{width}.png", full_page=True)


@pytest.mark.parametrize("name", READ)
def test_formulas_are_rendered_and_nothing_sticks_out(visit, name):
    for width in (400, 1200):
        page = visit(name, width)
        texts = page.evaluate(
            f"""() => {{
                const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
                const found = [];
                while (walk.nextNode())
                    if (!walk.currentNode.parentElement.closest("{NOT_TEXT}"))
                        found.push(walk.currentNode.data);
                return found;
            }}"""
        )
        assert not [text for text in texts if re.search(r"\$[^$]+\$|\\\(|\\\[", text)]
        assert page.locator("mjx-merror, .math:not(:has(mjx-container))").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if name in LESSONS or name == "index.html":
            keep(page, name, width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "docs/loss.html", *LESSONS])
def test_contrast_headings_and_labels(visit, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visit(name, color_scheme=scheme)
    rules = {"preload": False, "runOnly": ["wcag2a", "wcag2aa"]}
    found = axe.run(page, context="article", options=rules).response["violations"]
    assert not {one["id"]: [n["html"][:120] for n in one["nodes"][:3]] for one in found}


def test_search_finds_a_page_from_disk(visit):
    page = visit("search.html?q=silhouette")
    found = page.locator("#search-results ul.search a")
    found.first.wait_for()
    assert any("08_features" in link.get_attribute("href") for link in found.all())


@pytest.mark.parametrize("name", LESSONS)
def test_hints_and_quizzes_open_with_the_keyboard(visit, name):
    page = visit(name)
    options = page.locator(".quiz details.option")
    assert options.count() >= 2
    for option in options.all():
        option.locator("summary").focus()
        page.keyboard.press("Enter")
        reason = option.locator("p")
        assert reason.is_visible()
        right = "right" in option.get_attribute("class").split()
        assert reason.inner_text().startswith("Right." if right else "Not this one.")
    assert page.locator(".quiz details[open]").count() == page.locator(".quiz").count()
    for hint in page.locator("details:has(> summary:text-matches('^Hint'))").all():
        hint.locator("summary").click()
        assert hint.get_attribute("open") is not None


@pytest.mark.parametrize("name", LESSONS)
def test_sliders_walk_through_their_frames(visit, name):
    page = visit(name)
    for unasked in page.locator("form.guess .skip").all():  # a truth and its sliders wait for it
        unasked.click()
    for figure in page.locator("figure.frames").all():
        picture = figure.locator("img")
        still = picture.get_attribute("src")
        for slider in figure.locator("input").all():
            start = slider.input_value()
            slider.focus()
            page.keyboard.press("Home" if start != "0" else "End")
            assert picture.get_attribute("src") != still
            said = slider.get_attribute("aria-valuetext")
            assert slider.locator("xpath=following-sibling::output").inner_text() == said
            slider.fill(start)
            assert picture.get_attribute("src") == still


@pytest.mark.parametrize("name", LESSONS)
def test_a_guess_is_kept_and_the_truth_opens(visit, name):
    page = visit(name)
    forms = page.locator("form.guess")
    for form in forms.all():
        truth = page.locator(f'.truth[data-name="{form.get_attribute("data-name")}"]')
        assert not truth.is_visible()
        form.locator("button[type=submit]").click()  # without a guess
        assert form.locator(".reply").inner_text()
        assert not truth.is_visible()
        if form.locator("input[type=radio]").count():
            form.locator("input[type=radio]").first.check()
        else:
            form.locator("input[name=from]").fill("-1e9")
            form.locator("input[name=to]").fill("1e9")
        form.locator("button[type=submit]").click()
        assert truth.is_visible()
        assert "You said" in form.locator(".reply").inner_text()
        if form.locator("input[type=number]").count():
            assert "inside" in form.locator(".reply").inner_text()
    if forms.count():
        page.reload()
        assert page.locator(".truth:visible").count() == forms.count()


@pytest.mark.parametrize("name", LESSONS)
def test_clips_play(visit, name):
    page = visit(name)
    for video in page.locator("video").all():
        assert video.evaluate("v => v.play().then(() => !v.paused)")


def test_the_page_may_be_dark(visit):
    page = visit("index.html", color_scheme="dark")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", colour)[:3])) < 200


def test_lessons_can_be_taken_away(visit):
    page = visit(LESSONS[0])
    link = page.locator(".ways a", has_text="Download").get_attribute("href")
    path = Path(os.path.normpath((BOOK / LESSONS[0]).parent / link))
    assert '"cells"' in path.read_text("utf-8")
