"""Servers under measurement: started on the loopback, observed through /proc, stopped by their id."""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

START_LIMIT_S = 60
STOP_LIMIT_S = 40
CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
NGINX_CONFIG = Path(__file__).with_name("nginx.conf")


class Server:
    """A server process and its children. `port` is where it listens; `directory` is its own."""

    def __init__(self, directory, command, environment=None):
        self.directory = directory
        self.log = directory / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def wait_for_port_in_log(self):
        """Takes the port from the line that says where the server listens."""
        found = self._wait(lambda: re.search(rb"listening on http://127\.0\.0\.1:(\d+)", self.log.read_bytes()))
        self.port = int(found[1])

    def wait_for_connection(self, port):
        """Waits until something listens on a port that was chosen before."""
        self.port = port
        self._wait(lambda: _connects(port))

    def _wait(self, probe):
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if found := probe():
                return found
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"{self.process.args[0]} does not listen:\n{self.log.read_text(errors='replace')}")

    def cpu_seconds(self):
        """CPU time that the process and its children have used, user and system."""
        return sum(_cpu_ticks(pid) for pid in self._pids()) / CLOCK_TICKS_PER_S

    def memory(self, field):
        """A memory figure of the process in bytes: `VmRSS`, `VmHWM` or `RssAnon`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024

    def stop(self):
        """Asks the process to end, kills it past the limit."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _pids(self):
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]


def start_larder(binary, directory, secret, more=None):
    """Larder on the embedded default, or as `more` variables of its environment have it."""
    directory.mkdir(parents=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "LARDER_LISTEN": "127.0.0.1:0",
        "LARDER_DATA": str(directory / "data"),
        "LARDER_HS256_SECRET": secret,
        "DEFAULT_ACTIONS_RESULTS_URL": "http://127.0.0.1:9",
        "RUST_LOG": "info",
        **(more or {}),
    }
    server = Server(directory, [binary, "serve"], environment)
    server.wait_for_port_in_log()
    return server


def start_bare(binary, directory, answer):
    directory.mkdir(parents=True)
    (directory / "answer").write_bytes(answer)
    server = Server(directory, [binary, str(directory / "answer")])
    server.wait_for_port_in_log()
    return server


# Nothing is written down on the way, and connections are kept, as Larder keeps them.
NGINX_PROXY = """location /proxied/ {
      proxy_pass @UPSTREAM@$proxied;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffers 16 64k;
      proxy_buffer_size 64k;
      proxy_busy_buffers_size 512k;
      proxy_max_temp_file_size 0;
    }"""


def start_nginx(binary, directory, body_buffer, upstream=None):
    """nginx with sendfile and WebDAV PUT, files in `directory`/files, one worker per core; before `upstream`, if there is one."""
    for name in ("files", "bodies"):
        (directory / name).mkdir(parents=True)
    port = _free_port()
    settings = {
        "@PORT@": str(port),
        "@DIRECTORY@": str(directory),
        "@BODY_BUFFER@": body_buffer,
        "@USER@": "user root;" if os.geteuid() == 0 else "",
        "@PROXY@": NGINX_PROXY.replace("@UPSTREAM@", upstream) if upstream else "",
    }
    config = NGINX_CONFIG.read_text()
    for name, value in settings.items():
        config = config.replace(name, value)
    (directory / "nginx.conf").write_text(config)
    server = Server(directory, [binary, "-p", str(directory), "-c", "nginx.conf", "-e", "stderr"])
    server.wait_for_connection(port)
    return server


def _cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def _free_port():
    # nginx cannot say which port it got, so one that is free now is chosen for it.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
