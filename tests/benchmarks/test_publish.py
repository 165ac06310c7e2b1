"""The page that asv makes of measurements draws its graphs in a real browser."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numba
import pytest

from benchmarks import interleaved
from tests.benchmarks import browser
from tests.conftest import ROOT

# asv's page takes these from servers on the internet. A test must not.
PACKAGES = "jquery@3.3.1 flot@0.8.3 bootstrap@3.1.1 blueimp-md5@2.19.0 flot-orderbars@1.0.0 stupid-table-plugin@1.1.3"
INSTALL = f"npm install --prefix .asv/libraries {PACKAGES}"
LIBRARIES = ROOT / ".asv" / "libraries" / "node_modules"
LOCAL = {
    "jquery-3.3.1.min.js": "jquery/dist/jquery.min.js",
    "jquery.flot.min.js": "flot/jquery.flot.js",
    "jquery.flot.time.min.js": "flot/jquery.flot.time.js",
    "jquery.flot.selection.min.js": "flot/jquery.flot.selection.js",
    "jquery.flot.categories.min.js": "flot/jquery.flot.categories.js",
    "jquery.flot.orderBars.js": "flot-orderbars/js/jquery.flot.orderBars.js",
    "stupidtable.min.js": "stupid-table-plugin/stupidtable.min.js",
    "md5.min.js": "blueimp-md5/js/md5.min.js",
    "bootstrap.min.js": "bootstrap/dist/js/bootstrap.min.js",
    "bootstrap.min.css": "bootstrap/dist/css/bootstrap.min.css",
}
GRAPHS = ("bench_counts.Passes.track_passes", "bench_counts.Passes.track_bytes")

pytestmark = [
    pytest.mark.skipif(browser.CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(not LIBRARIES.exists(), reason=f"libraries of asv's page are not there: {INSTALL}"),
    pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="benchmarks run compiled kernels"),
]


@pytest.fixture(scope="module")
def asv(tmp_path_factory):
    """A function that runs asv on a small repository of its own, whose results it keeps to itself."""
    pytest.importorskip("asv", reason="asv is not installed")
    home = tmp_path_factory.mktemp("asv")
    settings = json.loads((ROOT / "asv.conf.json").read_text()) | {"repo": str(home / "repository")}
    settings |= {"benchmark_dir": str(ROOT / "benchmarks")}
    (home / "asv.conf.json").write_text(json.dumps(settings))
    environment = os.environ | {"HOME": str(home), "FASTEM_BENCH": "toy"}

    def run(*arguments):
        command = [sys.executable, "-m", "asv", *arguments, "--config", str(home / "asv.conf.json")]
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return home / ".asv" / "html"

    return run, home / "repository"


@pytest.fixture(scope="module")
def published(asv):
    """The directory of a page with the measurements of two commits."""
    run, repository = asv
    git = functools.partial(interleaved.git, "-c", "user.name=n", "-c", "user.email=e", root=repository)
    repository.mkdir()
    git("init", "-q", "-b", "main")
    run("machine", "--yes")
    for number in range(2):
        git("commit", "-q", "--allow-empty", "-m", f"{number}", "--date", f"2026-01-0{number + 1}T00:00:00Z")
        interpreter = f"existing:{sys.executable}"
        chosen = [word for name in GRAPHS for word in ("--bench", rf"{name}\(.*D=1 ")]
        run("run", "--environment", interpreter, "--set-commit-hash", git("rev-parse", "HEAD"), *chosen)
    return run("publish")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a directory, in whose first page scripts from elsewhere are replaced by those of this machine."""

    def do_GET(self):
        path = self.path.split("?")[0]
        if path.startswith("/elsewhere/"):
            self._answer((LIBRARIES / LOCAL[path.removeprefix("/elsewhere/")]).read_bytes())
        elif path == "/index.html":
            text = Path(self.directory, "index.html").read_text(encoding="utf-8")
            text = re.sub(r'"https://[^"]*/([^/"]+)"( integrity="[^"]*")?', r'"/elsewhere/\1"', text)
            self._answer(text.encode())
        else:
            super().do_GET()

    def _answer(self, content):
        kinds = {".css": "text/css", ".html": "text/html"}
        self.send_response(200)
        self.send_header("Content-Type", kinds.get(Path(self.path).suffix, "text/javascript"))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address(published):
    """Where the page is served."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=published))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def page(address, tmp_path_factory):
    with browser.new_page(tmp_path_factory.mktemp("profile")) as page:
        page.open(address)
        page.wait_for("window.jQuery && jQuery('#summarygrid-display a').length")
        yield page


def test_the_first_page_leads_to_every_graph(page):
    links = page.evaluate("jQuery('#summarygrid-display a').map((i, a) => a.getAttribute('href')).get()")
    assert {link.removeprefix("#").split("?")[0] for link in links} >= set(GRAPHS)


# Pixels of the colours of the curves, on the canvas that holds the drawing.
_DRAWN = """(() => {
  const canvas = document.querySelector('#main-graph canvas.flot-base');
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let coloured = 0;
  for (let i = 0; i < data.length; i += 4) {
    const colour = data.slice(i, i + 3);
    coloured += data[i + 3] > 128 && Math.max(...colour) - Math.min(...colour) > 40;
  }
  return coloured;
})()"""


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_draws_a_curve_through_every_commit(name, page):
    page.evaluate(f"location.hash = '{name}'")
    page.wait_for(f"document.title.includes('{name}') || jQuery('#title').text().includes('{name}')")
    page.wait_for("document.querySelector('#main-graph canvas.flot-base') && jQuery('#main-graph').data('plot')")
    page.wait_for("jQuery('#main-graph').data('plot').getData().length")
    series = page.evaluate("jQuery('#main-graph').data('plot').getData().map(series => series.data)")
    assert [point[0] for point in series[0]] == [0, 1]
    assert all(point[1] > 0 for point in series[0])
    assert page.evaluate(_DRAWN) > 500
