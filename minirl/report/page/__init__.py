"""One self-contained HTML page about a run: data gathered here, drawn by the page's own script.

DESIGN.md leaves plotly or matplotlib open. plotly.js alone is 4 MB of the 5 MB that a page with
5,000 rollouts may have, and matplotlib's pictures neither follow the reader's colours nor fit a
phone; some hundred lines of script draw what is needed.
"""

from minirl.report.page.gather import Gathered, gather
from minirl.report.page.html import render

__all__ = ["Gathered", "gather", "render"]
