import base64
import html
import json
import re
import shutil
import subprocess

import pytest

from bundle.stages.report import report
from tests.stages.mock_results import write_results

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module", params=[3, 1], ids=["with_strata", "without_strata"])
def page(request, tmp_path_factory):
    folder = write_results(tmp_path_factory.mktemp("page") / "results", request.param)
    return report(str(folder)).read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_every_picture_shows_and_nothing_overflows(page, width, tmp_path):
    seen = in_a_browser(page, width, tmp_path)
    assert seen["width"] == width and seen["pictures"] >= 9 and seen["hidden"] == []
    assert seen["scrollWidth"] <= width and seen["overflowing"] == []


def in_a_browser(page, width, folder):
    """What chromium says of the page in a frame of that width (its own windows cannot be as narrow as a phone)."""
    script = """
<iframe id="frame" style="width:WIDTHpx;height:900px;border:0"></iframe><pre id="seen"></pre>
<script>
const frame = document.getElementById("frame");
frame.onload = () => {
  const inner = frame.contentDocument, all = [...inner.querySelectorAll("body *")], pictures = [...inner.images];
  const sticksOut = e => e.getBoundingClientRect().right > frame.clientWidth + 1 && !e.closest(".scroll");
  document.getElementById("seen").textContent = JSON.stringify({
    width: frame.contentWindow.innerWidth,
    scrollWidth: inner.documentElement.scrollWidth,
    pictures: pictures.length,
    hidden: pictures.filter(p => !p.naturalWidth || !p.getBoundingClientRect().width).map(p => p.alt),
    overflowing: all.filter(sticksOut).map(e => e.outerHTML.slice(0, 80)),
  });
};
frame.srcdoc = new TextDecoder().decode(Uint8Array.from(atob("PAGE"), c => c.charCodeAt(0)));
</script>"""
    wrapper = folder / "wrapper.html"
    wrapper.write_text(script.replace("WIDTH", str(width)).replace("PAGE", base64.b64encode(page.encode()).decode()))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--virtual-time-budget=20000", "--window-size=1400,1000", "--dump-dom", wrapper.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(html.unescape(re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL).group(1)))
