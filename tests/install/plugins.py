"""Libraries with heddle in them that are loaded while a program runs: what they take of its static TLS, and how they do in
Python."""
# SPDX-License-Identifier: MIT

import re

import blackbox as bb
from commands import tell

# Of the 1.6 KiB that glibc keeps for all that is loaded later, and musl not at all.
STATIC_TLS = 192
PLUGIN = """
import _ctypes, ctypes, sys, threading
def use(path):
    plugin = ctypes.CDLL(path)
    first = plugin.plugin_runs()
    assert first == plugin.plugin_runs() > 6000, first
    return plugin
for path in sys.argv[1:]:
    plugin = use(path)
    results = []
    def on_thread(plugin=plugin):
        results.append(plugin.plugin_runs())
        _ctypes.dlclose(plugin._handle)  # what the thread has of it goes when the thread ends
    thread = threading.Thread(target=on_thread)
    thread.start()
    thread.join()
    assert results == [use(path).plugin_runs()]
print("plugged in")
"""


def static_tls(file):
    """The bytes of thread-locals that a library asks for."""
    found = re.search(r"^ *TLS +(?:0x\w+ +){4}0x(\w+)", tell(bb.tool("readelf"), "-lW", file), re.MULTILINE)
    return int(found[1], 16) if found else 0


def check_static_tls(*files):
    sizes = {file.name: static_tls(file) for file in files}
    for name, size in sizes.items():
        bb.check(size <= STATIC_TLS, f"{name} has {size} bytes of static TLS, and may have {STATIC_TLS}")
    bb.check(any(sizes.values()), f"none of {', '.join(sizes)} has any static TLS")


def load_in_python(*libraries, env=None):
    out = tell("/usr/bin/python3", "-B", "-c", PLUGIN, *libraries, env=env)
    bb.check(out == "plugged in\n", f"Python with a plugin printed {out!r}")
