"""Images without an engine: buildah builds and runs them in a chroot, as their user, in this machine's
network. There is no registry: debootstrap makes the base, which gets the name of the real one."""

import hashlib
import json
import os
import shutil
import subprocess

from process import Process
from stack import DEPS, ROOT, VERSIONS, installed

BASE = f"debian:{VERSIONS['DEBIAN']}-slim"
SOURCES = ("*.c", "*.h", "*.sql", "CMake*", "embed.cmake", "Dockerfile", "cross", "packages-*.txt")
# A label of images that are made here: what they were made of.
LABEL = "sluice.sources"


def sources_hash():
    digest = hashlib.sha256()
    for path in sorted({path for pattern in SOURCES for path in ROOT.rglob(pattern)}):
        if path.is_file() and path.relative_to(ROOT).parts[0] not in ("build", "demo"):
            digest.update(f"{path.relative_to(ROOT)} {len(path.read_bytes())}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Buildah:
    """Images and containers below `folder`, which lasts."""

    def __init__(self, folder):
        self.folder = folder
        self.command = ["buildah", "--storage-driver", "vfs", "--root", str(folder / "root"),
                        "--runroot", str(folder / "run")]

    def call(self, *arguments, log=None, timeout=60):
        """Returns what it printed; with `log` that goes there."""
        command = [*self.command, *map(str, arguments)]
        if log:
            with open(log, "wb") as output:
                done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT,
                                      timeout=timeout, check=False)
            text = log.read_text(errors="replace")
        else:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout,
                                  check=False)
            text = done.stdout + done.stderr
        assert done.returncode == 0, f"{' '.join(command)}\n{text[-4000:]}"
        return done.stdout

    def bud(self, context, *arguments, log):
        self.call("bud", "--isolation", "chroot", "--network", "host", "--format", "docker",
                  "--pull-never", *arguments, context, log=log, timeout=3600)

    def has(self, name):
        done = subprocess.run([*self.command, "inspect", "--type", "image", name],
                              capture_output=True, check=False)
        return done.returncode == 0

    def base(self):
        """From a tree that ./dev deps image left."""
        if self.has(BASE):
            return
        tree = installed(DEPS / f"debian-{VERSIONS['DEBIAN']}" / "base.tar")
        context = self.folder / "base"
        context.mkdir(exist_ok=True)
        shutil.copy(tree, context / "base.tar")
        (context / "Dockerfile").write_text('FROM scratch\nADD base.tar /\nCMD ["bash"]\n')
        self.bud(context, "-t", BASE, log=self.folder / "base.log")
        shutil.rmtree(context)

    def build(self, name, *arguments):
        """An image of the same sources that is there already is taken."""
        sources = sources_hash()
        if self.has(name) and (self.settings(name)["Labels"] or {}).get(LABEL) == sources:
            return
        self.base()
        self.bud(ROOT, "-f", ROOT / "docker/Dockerfile", "--ignorefile",
                 ROOT / "docker/Dockerfile.dockerignore", "-t", name, "--label",
                 f"{LABEL}={sources}", *arguments, log=self.folder / f"{name.replace(':', '-')}.log")
        self.call("rmi", "--prune")

    def settings(self, name):
        return json.loads(self.call("inspect", "--type", "image", name))["Docker"]["config"]


class Container:
    """One of an image; `with`."""

    def __init__(self, buildah, image):
        self.buildah = buildah
        self.image = image

    def __enter__(self):
        self.name = self.buildah.call("from", "--pull-never", self.image).strip()
        self.root = self.buildah.call("mount", self.name).strip()
        return self

    def __exit__(self, *_):
        self.buildah.call("rm", self.name)

    def arguments(self, *command, volumes=(), environment=None):
        options = [*(f"--volume={volume}" for volume in volumes),
                   *(f"--env={key}={value}" for key, value in (environment or {}).items())]
        return [*self.buildah.command, "run", "--isolation", "chroot", *options, self.name, "--",
                *command]

    def run(self, *command, **keywords):
        return subprocess.run([str(part) for part in self.arguments(*command, **keywords)],
                              capture_output=True, text=True, timeout=60, check=False)

    def start(self, log, *command, **keywords):
        return Process(self.arguments(*command, **keywords), log)

    def size_bytes(self):
        """Without what apt may forget."""
        forgotten = tuple(f"{self.root}/var/{part}" for part in ("lib/apt", "cache", "log"))
        return sum(os.lstat(os.path.join(folder, name)).st_size
                   for folder, _, names in os.walk(self.root)
                   if not folder.startswith(forgotten) for name in names)

    def changed(self, since):
        """Files that were written after that time."""
        return [path for folder, _, names in os.walk(self.root) for name in names
                for path in [os.path.join(folder, name)] if os.lstat(path).st_mtime > since]


def main_process(parent, program):
    """The pid of the program that runs below `parent`, or None."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    name, _, rest = file.read().partition("(")[2].rpartition(")")
            except OSError:
                continue
            children.setdefault(int(rest.split()[1]), []).append((int(entry), name))
    waiting = [parent]
    while waiting:
        for pid, name in children.get(waiting.pop(), []):
            if name == program:
                return pid
            waiting.append(pid)
    return None
