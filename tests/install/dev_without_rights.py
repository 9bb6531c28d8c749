"""./dev for a user who may not install packages says which are missing, and asks nobody for a password."""
# SPDX-License-Identifier: MIT

import argparse
import os
import pathlib
import subprocess
import tempfile

import blackbox as bb


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    options = parser.parse_args()

    def dev(path, *words):
        """./dev by an ordinary user, who finds nothing but the commands in `path`."""
        script = (options.source / "dev").read_text().replace("EUID", "1000")  # the shell won't have it set
        return subprocess.run([bb.tool("bash"), "-c", script, options.source / "dev", *words], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, env=dict(os.environ, PATH=str(path)))

    def check_told(commands):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            for name in ("dirname", "bash", "env"):
                (path / name).symlink_to(bb.tool(name))
            for name, text in commands.items():
                (path / name).write_text(f"#!{bb.tool('bash')}\n{text}\n")
                (path / name).chmod(0o755)
            done = dev(path, "format")
            last = done.stderr.strip().splitlines()[-1:]
            bb.check(done.returncode == 1 and last == ["    apt-get install clang-format-19"],
                     f"ended with {done.returncode}: {done.stderr!r}")

    bb.run([("where there is no sudo", lambda: check_told({"apt-get": "exit 100"})),
            ("where sudo wants a password", lambda: check_told({"apt-get": "exit 100", "sudo": '[[ $1 == -n ]] && exit 1; exec sleep 50'})),
            ("where there is no apt-get", lambda: check_told({}))], 55, keep_going=True)


main()
