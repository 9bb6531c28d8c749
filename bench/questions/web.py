"""What the questions about web servers share: wrk as the load, nginx as the peer, files of three sizes, the rows."""
# SPDX-License-Identifier: MIT

import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from questions import common, plot

NGINX = "nginx"
SIZES = {"1 KB": (1_000, 100), "100 KB": (100_000, 100), "10 MB": (10_000_000, 10)}  # bytes, connections
COLOURS = {**common.COLOURS, NGINX: "#009639"}
# What wrk prints of latencies is rounded, and of bytes as well: the script gets the numbers.
SCRIPT = """
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"requests": %d, "seconds": %.6f, "p99_us": %d, "failed": %d}\\n', summary.requests,
    summary.duration / 1e6, latency:percentile(99), errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""
CONFIGURATION = """
daemon off;
worker_processes 1;
{user}pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=256;
  keepalive_requests 1000000000;
  keepalive_timeout 60s;
  ssl_protocols TLSv1.2 TLSv1.3;
  server {{
    listen 127.0.0.1:{port} {listen};
    root {root};
  }}
}}
"""


def wrk(url, seconds, connections=100):
    """Runs wrk on one thread and returns what it says: requests, seconds, per_second, p99_us, failed."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT)
        script.flush()
        done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name, url],
                              text=True, capture_output=True, check=True, timeout=60 + seconds, start_new_session=True,
                              preexec_fn=common.on_the_loads_core).stdout
    result = json.loads(done.splitlines()[-1])
    result["per_second"] = result["requests"] / result["seconds"]
    return result


def make_files(folder):
    for name, (size, _) in SIZES.items():
        path = pathlib.Path(folder) / file_name(name)
        path.write_bytes((bytes(range(256)) * (size // 256 + 1))[:size])


def file_name(size):
    return size.replace(" ", "-").lower() + ".bin"


def make_certificate(folder):
    """(certificate, key), for this machine alone."""
    certificate, key = f"{folder}/certificate.pem", f"{folder}/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
    return certificate, key


def family_cpu_ns(pid):
    """Time on a core so far, of a process and its children."""
    total = common.cpu_ns(pid)
    for thread in os.listdir(f"/proc/{pid}/task"):
        children = pathlib.Path(f"/proc/{pid}/task/{thread}/children").read_text(encoding="ascii")
        total += sum(family_cpu_ns(int(child)) for child in children.split())
    return total


def answers(address):
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
        return True
    return False


@contextlib.contextmanager
def nginx(root, pair=None):
    """nginx with one worker, sendfile and files kept open, of a folder of its own; with a certificate and its key over TLS.
    Yields (process, address). Throws LeftOut if it doesn't start."""
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = probe.getsockname()
        listen = f"ssl; ssl_certificate {pair[0]}; ssl_certificate_key {pair[1]}" if pair else ""
        user = f"user {pwd.getpwuid(0).pw_name};\n" if os.geteuid() == 0 else ""  # who reads the temporary folders
        configuration = pathlib.Path(folder) / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, root=root, port=address[1], listen=listen, user=user),
                                 encoding="utf-8")
        process = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-p", folder, "-c", str(configuration)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   start_new_session=True, preexec_fn=common.on_the_servers_core)
        try:
            end = time.monotonic() + 20
            while not answers(address):
                if process.poll() is not None or time.monotonic() > end:
                    process.kill()
                    raise common.LeftOut(f"it does not start: {process.communicate()[1].strip()[-300:]}")
                time.sleep(0.02)
            yield process, f"{address[0]}:{address[1]}"
        finally:
            process.terminate()  # its worker ends with it
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()


def installed(question, *tools):
    """Whether all of these programs are here; says which one isn't."""
    for tool in tools:
        if shutil.which(tool) is None:
            common.left_out(question, f"{tool} is not installed")
            return False
    return True


def contenders(build, options, root, pair=None):
    """name -> a context manager that runs the server and yields (process, address)."""
    found = {}
    example = build / "examples/http_server"
    tls = ["--tls-cert", pair[0], "--tls-key", pair[1]] if pair else []
    if example.exists():
        found[common.OURS] = lambda: common.serving([str(example), "--root", str(root), *tls])
    else:
        common.left_out(common.OURS, "there is no example http_server")
    if shutil.which("nginx") or pathlib.Path("/usr/sbin/nginx").exists():
        found[NGINX] = lambda: nginx(root, pair)
    else:
        common.left_out(NGINX, "not installed")
    return {name: start for name, start in found.items()
            if not options.only or any(word.lower() in name.lower() for word in options.only)}


def measure_all(build, options, folder, pair=None):
    """row -> server -> what each round found. All servers stand, and follow each other at once."""
    rows = {size: detail for size, detail in SIZES.items()
            if not options.row or any(word.lower() in size.lower() for word in options.row)}
    results = {}
    with contextlib.ExitStack() as stack:
        ready = {}
        for name, start in contenders(build, options, folder, pair).items():
            try:
                ready[name] = stack.enter_context(start())
            except common.LeftOut as reason:
                common.left_out(name, reason)
        for size, (_, connections) in rows.items():
            def measure(name, size=size, connections=connections):
                process, address = ready[name]
                before = family_cpu_ns(process.pid)
                result = wrk(f"http{'s' if pair else ''}://{address}/{file_name(size)}", 1, connections)
                if result["failed"] or not result["requests"]:
                    raise common.LeftOut(f"wrk reports {result['failed']} errors")
                result["cpu_us"] = (family_cpu_ns(process.pid) - before) / result["requests"] / 1000
                return result

            common.progress(size)
            results[size] = common.rounds(options.rounds or (1 if options.quick else 9), ready, measure)
    return results


def publish(name, title, results, ahead=()):
    """`ahead`: the rows in which heddle is to be ahead of nginx, and not only level with it."""
    figures, verdicts, table = {}, common.Verdicts(), []
    for size, row in results.items():
        for who, found in row.items():
            each = {key: round(common.median([r[key] for r in found]), 2) for key in ("per_second", "cpu_us", "p99_us")}
            figures.setdefault(size, {})[who] = each
            versus = []
            if who == common.OURS and row.get(NGINX):
                versus = [common.ratios(found, row[NGINX], key)[1] for key in ("per_second", "cpu_us")]
                each["per_second_of_nginx"], each["cpu_us_of_nginx"] = (round(ratio, 3) for ratio in versus)
                busy = max(common.median(map(common.busy, rounds)) for rounds in (found, row[NGINX]))
                verdicts.level(size, NGINX, *versus, busy, ahead=size in ahead)
            rate, cpu = [f" ({ratio:.2f}x)" for ratio in versus] or ["", ""]
            table.append([size, common.bold(who), f"{each['per_second']:,.0f}{rate}", f"{each['cpu_us']:,.1f}{cpu}",
                          f"{each['p99_us']:,.0f}"])
    text = common.markdown(["file", "server", "requests/s", "CPU a request, us", "p99, us"], table)
    panels = {f"{size}: {label}": {who: each[key] for who, each in row.items()} for size, row in figures.items()
              for label, key in (("requests a second", "per_second"), ("CPU a request, us", "cpu_us"))}
    common.publish(name, title + text + verdicts.text(), figures, plot.bars(panels, COLOURS, "{:,.1f}"))
