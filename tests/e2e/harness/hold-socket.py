"""Holds a listening socket for a server, as systemd does for a unit with a socket (sd_listen_fds(3)).

hold-socket.py PROGRAM [ARGUMENT...]: listens on a free port of the loopback, prints it, and starts the program, which gets the socket as
its descriptor 3. For each line on the standard input the program is asked to end and started again; the socket stays. Prints
"started PID", and "ended STATUS" (negative: the signal). When the input ends, so does the program, and then this.
"""

import os
import signal
import socket
import sys

FIRST_PASSED = 3
BACKLOG = 4096


def start(command, listener):
    pid = os.fork()
    if pid == 0:
        os.dup2(listener, FIRST_PASSED)
        os.set_inheritable(FIRST_PASSED, True)
        # Standard output is for what is said here.
        os.dup2(2, 1)
        passed = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
        os.execvpe(command[0], command, {**os.environ, **passed})
    print("started", pid, flush=True)
    return pid


def end(pid):
    os.kill(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)
    print("ended", os.waitstatus_to_exitcode(status), flush=True)


def main(command):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
        print("port", listener.getsockname()[1], flush=True)
        pid = start(command, listener.fileno())
        for _ in sys.stdin:
            end(pid)
            pid = start(command, listener.fileno())
        end(pid)


main(sys.argv[1:])
