"""A real browser, where one is installed: the console messages of a page, and where its pictures and texts are."""

import json
import re
import shutil
import subprocess
from html import unescape

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

OUTER = """<body><iframe id="page" width="{width}" height="1500" src="{url}"></iframe><pre id="found"></pre><script>
const place = element => {{ const b = element.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom] }}
onload = () => {{
  const page = document.getElementById("page").contentDocument
  const pictures = [...page.querySelectorAll("svg, img")].map(picture => ({{
    box: place(picture), kind: picture.tagName, loaded: picture.tagName != "IMG" || picture.naturalWidth > 0,
    texts: [...picture.querySelectorAll("text")].map(text => [text.textContent, place(text)]),
    labels: [...picture.querySelectorAll("rect + text")].map(text => [place(text.previousSibling), place(text)]) }}))
  const found = {{ pictures: pictures, width: page.documentElement.scrollWidth, shown: page.documentElement.clientWidth,
    ground: getComputedStyle(page.body).backgroundColor, text: page.body.innerText }}
  document.getElementById("found").textContent = JSON.stringify(found)
}}</script></body>"""


def look(path, folder, width, dark=False):
    """Open a page in a window of ``width`` pixels and measure it.

    Returns:
        The measurements, and the lines of its console.
    """
    outer = folder / "outer.html"
    outer.write_text(OUTER.format(width=width, url=path.resolve().as_uri()))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--enable-logging=stderr", "--allow-file-access-from-files", "--virtual-time-budget=2000"]
    flags += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width + 100},1700"]
    flags += ["--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run(
        [CHROMIUM, *flags, "--dump-dom", outer.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(unescape(found[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]
