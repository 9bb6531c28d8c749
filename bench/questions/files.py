"""How many requests a second does the HTTP example answer with files, under wrk? Beside nginx, if installed."""
# SPDX-License-Identifier: MIT

import tempfile

from questions import web


def run(build, options):
    if not web.installed("files", "wrk"):
        return
    with tempfile.TemporaryDirectory() as folder:
        web.make_files(folder)
        results = web.measure_all(build, options, folder)
    if any(results.values()):
        web.publish("files", "## Files over HTTP, under wrk\n\nConnections that are kept alive: 100, for 10 MB 10. Server and wrk on "
                    "a core each; a ratio is heddle's of nginx's.\n\n", results)
