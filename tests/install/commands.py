"""tell: a command that has to succeed."""
# SPDX-License-Identifier: MIT

import os
import subprocess

import blackbox as bb


def tell(*command, env=None):
    """Runs a command; its output appears only when it fails."""
    done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=280, env=dict(os.environ, **(env or {})))
    bb.check(done.returncode == 0, f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout
