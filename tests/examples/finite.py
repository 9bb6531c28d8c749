"""An example that runs to its end by itself: it ends with 0, says something, and complains of nothing."""
# SPDX-License-Identifier: MIT

import subprocess
import sys

import blackbox as bb


def main():
    def ends():
        process = bb.spawn(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True)
        try:
            out, errors = process.communicate(timeout=30)
        finally:
            bb.end(process)
        bb.check(process.returncode == 0, f"ended with {process.returncode}: {errors!r}")
        bb.check(out and not errors, f"printed {out!r} and {errors!r}")

    bb.run([(sys.argv[1], ends)], 40)


main()
