"""How many requests a second does the HTTP example answer with files over TLS, under wrk? Beside nginx, if installed."""
# SPDX-License-Identifier: MIT

import tempfile

from questions import web


def run(build, options):
    if not web.installed("tls", "wrk", "openssl"):
        return
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as keys:
        web.make_files(folder)
        results = web.measure_all(build, options, folder, web.make_certificate(keys))
    if any(results.values()):
        web.publish("tls", "## Files over HTTPS, under wrk\n\nTLS 1.3, connections that are kept alive: 100, for 10 MB 10. Server "
                    "and wrk on a core each; a ratio is heddle's of nginx's.\n\n", results, ahead=("100 KB",))
