"""fetch, from servers that are well, slow, rude, or not there."""
# SPDX-License-Identifier: MIT

import argparse
import contextlib
import http.server
import os
import pathlib
import re
import signal
import socket
import ssl
import tempfile
import threading
import time

import blackbox as bb


class Answers(http.server.BaseHTTPRequestHandler):
    """/N: N bytes. /status/N. /slow/N: after N seconds. /chatty: without a length."""

    at_once, most_at_once, lock = 0, 0, threading.Lock()

    def do_GET(self):
        words, status, body = self.path.split("/")[1:], 200, b""
        if words[0] == "status":
            status = int(words[1])
        elif words[0] == "slow":
            with Answers.lock:
                Answers.at_once += 1
                Answers.most_at_once = max(Answers.most_at_once, Answers.at_once)
            time.sleep(float(words[1]))
            with Answers.lock:
                Answers.at_once -= 1
            body = b"slow"
        elif words[0] == "chatty":
            body = b"x" * 12_345
        else:
            body = b"x" * int(words[0].partition("?")[0] or 0)
        self.send_response(status)
        if words[0] != "chatty":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class WebServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100


@contextlib.contextmanager
def web_server(context=None):
    server = WebServer((bb.HOST, 0), Answers)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"{bb.HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def rude_server(*answers):
    """Each connection gets the next of these and is closed; None: it gets nothing, and stays."""
    listener = socket.create_server((bb.HOST, 0))
    kept = []

    def serve():
        for answer in answers:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            if answer is None:
                kept.append(client)
                continue
            client.recv(4096)
            client.sendall(answer)
            client.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"{bb.HOST}:{listener.getsockname()[1]}"
    finally:
        listener.close()
        for client in kept:
            client.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--web", help="http_server")
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()

    def fetch(*arguments, seconds=20):
        """What it prints, and its exit status."""
        out, status = bb.output([options.server, *arguments], seconds=seconds)
        return out.decode(), status

    def line_of(said, target):
        lines = [line for line in said.splitlines() if line.startswith(f"{target}: ")]
        bb.check(len(lines) == 1, f"{target} is not there once: {said}")
        return re.sub(r" \([0-9.]+ ms\)$", "", lines[0].removeprefix(f"{target}: "))

    def many():
        """It fetches many at once, each whole, and sums up."""
        with web_server() as address:
            urls = [f"http://{address}/{size}" for size in (0, 1, 1000, 65_536, 3_000_000)]
            said, status = fetch(*urls, f"http://{address}/chatty", f"http://{address}/5?a=b#part", f"http://{address}")
            bb.check(status == 0, said)
            for url in urls:
                bb.check(line_of(said, url) == f"200, {url.rpartition('/')[2]} bytes", said)
            bb.check(line_of(said, f"http://{address}/chatty") == "200, 12345 bytes", said)
            bb.check(said.splitlines()[-1].startswith(f"8 of 8, {0 + 1 + 1000 + 65_536 + 3_000_000 + 12_345 + 5} bytes, "), said)

    def at_once():
        """No more than --jobs at a time, and those at once."""
        with web_server() as address:
            for jobs in (1, 4):
                Answers.most_at_once = 0
                start = time.monotonic()
                said, status = fetch("--jobs", str(jobs), *[f"http://{address}/slow/0.2"] * 8)
                took = time.monotonic() - start
                bb.check(status == 0 and "8 of 8" in said, said)
                bb.check(Answers.most_at_once == jobs, f"{Answers.most_at_once} at once of {jobs}")
                bb.check(0.2 * 8 / jobs <= took, f"{jobs} at once took {took:.2f} s")

    def failures():
        """What fails is told, each by its reason; the others are fetched, and the exit status is 1."""
        with web_server() as address, bb.closed_port() as port, rude_server(
                b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"SSH-2.0-OpenSSH\r\n", b"", b"HTTP/1.1 200 OK\r\nX: y",
                b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n") as rude, rude_server(None) as silent:
            closed = f"{bb.HOST}:{port}"
            good = f"http://{address}/10"
            for target, awaited in ((f"http://{closed}/", f"connect to {closed}: Connection refused"), (closed, f"connect to {closed}: Connection refused"),
                                    ("http://no.such.host.invalid/", 'resolve "no.such.host.invalid": Name or service not known'),
                                    (f"http://{address}/status/404", "404, 0 bytes"), (f"http://{address}/status/500", "500, 0 bytes"),
                                    (f"http://{rude}/1", "the answer ends after 5 of 100 bytes"),
                                    (f"http://{rude}/2", "the answer is not HTTP"), (f"http://{rude}/3", "the answer is not HTTP"),
                                    (f"http://{rude}/4", "the answer ends within its head"), (f"http://{rude}/5", "65536")):
                said, status = fetch(target, good)
                bb.check(status == 1 and "1 of 2, " in said.splitlines()[-1], f"{target}: ended with {status}: {said}")
                bb.check(awaited in line_of(said, target), f"{target}: {said}")
                bb.check(line_of(said, good) == "200, 10 bytes", said)
            start = time.monotonic()
            said, status = fetch("--timeout", "0.5", f"http://{silent}/", good)
            bb.check(status == 1 and line_of(said, good) == "200, 10 bytes", said)
            bb.check("timed out" in line_of(said, f"http://{silent}/"), said)
            bb.check(0.5 <= time.monotonic() - start < 5, "the timeout is another")

    def numbers():
        """A length or a status that is none is told, and not taken for another one."""
        wrong = (b"-5", b"99999999999999999999999", b"+5", b"0x5", b"5 5", b"5,5", b"", b"five", b"5\r\nContent-Length: 6")
        heads = [b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\n\r\nhello" for length in wrong]
        heads += [b"HTTP/1.1 xyz OK\r\n\r\n", b"HTTP/1.1 -20 OK\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 000 OK\r\n\r\n"]
        with rude_server(*heads) as rude:
            for head in heads:
                said, status = fetch(f"http://{rude}/")
                told = line_of(said, f"http://{rude}/")
                bb.check(status == 1 and told.startswith("the answer"), f"{head}: {said}")
        with rude_server(b"HTTP/1.1 200 OK\r\ncontent-length:\t 5 \r\nContent-Length: 5\r\n\r\nhello and more",
                         b"HTTP/1.1 204\r\nContent-Length: 0\r\n\r\n") as rude:
            said, status = fetch(f"http://{rude}/")
            bb.check(status == 0 and line_of(said, f"http://{rude}/") == "200, 5 bytes", said)
            said, status = fetch(f"http://{rude}/")
            bb.check(status == 0 and line_of(said, f"http://{rude}/") == "204, 0 bytes", said)

    def ports():
        """A bare HOST:PORT is only connected to: it scans ports."""
        with socket.create_server((bb.HOST, 0)) as one, socket.create_server((bb.HOST, 0)) as two:
            there = [f"{bb.HOST}:{each.getsockname()[1]}" for each in (one, two)]
            nobody = [f"{bb.HOST}:{port}" for port in range(1, 400) if f"{bb.HOST}:{port}" not in there]
            said, status = fetch("--jobs", "100", *there, *nobody)
            bb.check(status == 1, said)
            for address in there:
                bb.check(line_of(said, address) == "open", said)
            bb.check(len(said.splitlines()) == len(there) + len(nobody) + 1, said)
            said, status = fetch(*there)
            bb.check(status == 0 and "2 of 2" in said, said)

    def interrupted():
        """SIGINT ends it at once."""
        with rude_server(None) as silent:
            process = bb.spawn([options.server, f"http://{silent}/"], stdin=-3, stdout=-3, stderr=-3)
            try:
                time.sleep(0.3)
                process.send_signal(signal.SIGINT)
                bb.check(process.wait(5) not in (0, -signal.SIGKILL), f"ended with {process.returncode}")
            finally:
                bb.end(process)

    def bad_use():
        """Bad use is an error that names what is wrong."""
        for arguments, awaited in (([], "usage"), (["--frob"], "usage"), (["ftp://x/"], '"ftp://x/"'), (["http://"], "is not a host and port"),
                                   (["http://x:99999/"], '"99999" is not a port'), (["nonsense"], '"nonsense" is not a host and port'),
                                   (["http://x/a b"], "has blanks in it"), (["http://[fe80::1%lo:\r\nA: b]:80/"], "is not a host and port"), (["--jobs", "x", "h:1"], '"x" is not a number'),
                                   (["--timeout", "-1", "h:1"], '"-1" is not a number')):
            said, status = fetch(*arguments)
            bb.check(status == 2 and awaited in said, f"{arguments}: ended with {status}: {said}")

    def secure():
        """https: it trusts --cacert's, and nobody else."""
        with tempfile.TemporaryDirectory() as folder:
            bb.make_certificate(folder)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
            trust = ["--cacert", f"{folder}/cert.pem"]
            with web_server(context) as address, web_server() as plain:
                port = address.rpartition(":")[2]
                for host in ("localhost", bb.HOST):
                    said, status = fetch(*trust, f"https://{host}:{port}/100000")
                    bb.check(status == 0 and line_of(said, f"https://{host}:{port}/100000") == "200, 100000 bytes", said)
                said, status = fetch(f"https://localhost:{port}/1")
                bb.check(status == 1 and "certificate verify failed" in said, said)
                said, status = fetch(*trust, f"https://{plain}/1")
                bb.check(status == 1 and "TLS handshake" in said, said)
            said, status = fetch("--cacert", "/no/such", "https://localhost:1/")
            bb.check(status == 2 and "/no/such" in said, said)

    def of_ours():
        """It fetches from http_server, also over TLS."""
        with tempfile.TemporaryDirectory() as folder:
            bb.make_certificate(folder)
            pathlib.Path(f"{folder}/large").write_bytes(os.urandom(3_000_000))
            keys = ["--tls-cert", f"{folder}/cert.pem", "--tls-key", f"{folder}/key.pem"] if options.tls else []
            with bb.Server(options.web, arguments=["--root", folder, *keys]) as server:
                url = f"{'https' if keys else 'http'}://localhost:{server.port}/"
                said, status = fetch("--cacert", f"{folder}/cert.pem", *[url + "large"] * 20, url + "nothing")
                bb.check(status == 1 and "20 of 21, 60000014 bytes" in said, said)
                server.interrupt()

    checks = [many, at_once, failures, numbers, ports, interrupted, bad_use]
    if options.tls:
        checks.append(secure)
    if options.web:
        checks.append(of_ours)
    bb.run([(bb.title(check), check) for check in checks], 55)


main()
