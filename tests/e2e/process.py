"""One process that a test started: its log, its signals, its end.

Every process dies with the test run, however that ends: by stop(), at exit, or by the kernel when
the thread that started it is gone. So start processes from a thread that outlives them.
"""

import atexit
import ctypes
import fcntl
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WAIT_ALL = 0x40000000  # waitpid also for threads
_libc = ctypes.CDLL(None, use_errno=True)
_alive = set()
PORTS = Path(tempfile.gettempdir()) / f"sluice-ports-{os.getuid()}"
_ports = []


def _ptrace(request, tid):
    none = ctypes.c_void_p(0)
    if _libc.ptrace(ctypes.c_long(request), ctypes.c_long(tid), none, none) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {tid}")


def wait_until(condition, what, deadline=30.0):
    """Polls condition() until it returns something true, which is returned. `what` names it in the
    error, and may be a function that describes how far it came."""
    end = time.monotonic() + deadline
    pause = 0.01
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"not within {deadline:g} s: {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def free_port():
    """A loopback port that nobody listens on, below the range that outgoing connections take; no
    other test gets it while this process lives, though several run beside each other."""
    PORTS.mkdir(exist_ok=True)
    while True:
        port = random.randint(20000, 31999)
        lock = open(PORTS / str(port), "w")  # closed with the process, which lets it go
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _ports.append(lock)
        return port


class Process:
    def __init__(self, arguments, log, environment=None, user=None, death_signal=signal.SIGKILL):
        """Starts it. Output is appended to the file `log`; `environment` adds to ours; a value of
        None there takes a variable away."""
        self.arguments = [str(argument) for argument in arguments]
        self.log = Path(log)
        variables = {**os.environ, **(environment or {})}
        variables = {name: str(value) for name, value in variables.items() if value is not None}
        parent = os.getpid()

        def die_with_parent():
            _libc.prctl(PR_SET_PDEATHSIG, death_signal)
            if os.getppid() != parent:
                os._exit(1)

        identity = {"user": user, "group": user, "extra_groups": []} if user else {}
        with open(self.log, "ab") as output:
            self.popen = subprocess.Popen(
                self.arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=variables, preexec_fn=die_with_parent, **identity)
        _alive.add(self)

    @property
    def pid(self):
        return self.popen.pid

    def exit_code(self):
        """None while it runs; negative: the signal that ended it."""
        code = self.popen.poll()
        if code is not None:
            _alive.discard(self)
        return code

    def running(self):
        return self.exit_code() is None

    def send(self, number):
        if self.running():
            self.popen.send_signal(number)

    def pause(self):
        self.send(signal.SIGSTOP)

    def resume(self):
        self.send(signal.SIGCONT)

    def hold_thread(self, name):
        """Stops the first thread of this name, and it alone, as if it hung; "" is the main one.
        Returns what lets it go on, to be called from the same thread."""
        tid = self.pid
        if name:
            tid = min(int(task.name) for task in Path(f"/proc/{self.pid}/task").iterdir()
                      if (task / "comm").read_text().strip() == name)
        _ptrace(PTRACE_SEIZE, tid)
        _ptrace(PTRACE_INTERRUPT, tid)
        os.waitpid(tid, WAIT_ALL)
        return lambda: _ptrace(PTRACE_DETACH, tid)

    def wait(self, deadline=30.0):
        """Returns the exit code."""
        try:
            self.popen.wait(deadline)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.describe()} has not ended in {deadline:g} s\n{self.tail()}")
        return self.exit_code()

    def stop(self, number=signal.SIGTERM, deadline=20.0):
        """Asks, waits, then kills. Returns the exit code."""
        self.send(number)
        self.resume()
        try:
            return self.wait(deadline)
        except TimeoutError:
            return self.kill()

    def kill(self):
        self.send(signal.SIGKILL)
        return self.wait()

    def text(self):
        return self.log.read_text(errors="replace")

    def tail(self, lines=40):
        end = "\n".join(self.text().splitlines()[-lines:])
        return f"the end of {self.log}:\n{end}"

    def describe(self):
        return f"{os.path.basename(self.arguments[0])} (pid {self.pid})"


@atexit.register
def _kill_all():
    for process in list(_alive):
        process.kill()
