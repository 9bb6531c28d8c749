"""Bad use of an echo server gives a clear error and the right exit code, and nothing listens."""
# SPDX-License-Identifier: MIT

import socket
import subprocess

import blackbox as bb


def main():
    server = bb.parse().server

    def refused(arguments, code, *words):
        process = bb.spawn([server, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
        try:
            out, errors = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            raise bb.Failed(f"{' '.join(arguments)}: still running after 20 s") from None
        finally:
            bb.end(process)
        bb.check(process.returncode == code, f"{' '.join(arguments)}: ended with {process.returncode}, not {code}; {errors!r}")
        bb.check("listening" not in out, f"{' '.join(arguments)}: says {out!r}")
        bb.check(errors.count("\n") >= 1, f"{' '.join(arguments)}: no message")
        for word in words:
            bb.check(word in errors, f"{' '.join(arguments)}: the message does not name {word!r}: {errors!r}")

    def unknown_selector():
        refused(["--port", "0", "--selector", "epool"], 2, "epool", "default", "epoll", "poll", "select")

    def port_in_use():
        with socket.create_server((bb.HOST, 0)) as other:
            port = str(other.getsockname()[1])
            refused(["--host", bb.HOST, "--port", port], 1, f"{bb.HOST}:{port}")

    def bad_address():
        refused(["--host", "300.300.300.300", "--port", "0"], 1, "300.300.300.300")
        refused(["--host", "", "--port", "0"], 1)

    def foreign_address():
        refused(["--host", "192.0.2.1", "--port", "0"], 1, "192.0.2.1")  # parses, but is nobody's here

    def bad_port():
        for port in ("70000", "-1", "seven", ""):
            refused(["--port", port], 2, port)

    def unknown_option():
        refused(["--prot", "7000"], 2, "--prot")
        refused(["--port"], 2, "--port")

    bb.run([("an unknown selector is refused with the names there are", unknown_selector),
            ("a port in use is named", port_in_use),
            ("an address that does not parse is named", bad_address),
            ("an address of another machine is named", foreign_address),
            ("a port that is none is named", bad_port),
            ("an unknown option is named", unknown_option)], 50)


main()
