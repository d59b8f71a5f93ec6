"""A throw-away machine to install packages in: this one's files under a layer of its own, in namespaces of its own.

Run by itself, it says whether such a machine can be made here.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

# Where layers lie: overlayfs wants them outside of the file system that they cover.
LAYERS = "/dev/shm"

# $1: the lower layers; $2: the folder of the machine; then the command.
ENTER = """
set -e
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
mount -t proc proc "$2/root/proc"
mount --bind /dev "$2/root/dev"
mount -t tmpfs tmpfs "$2/root/run"
cd "$2/root"
shift 2
exec chroot . env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
"""


class Machine:
    """What is changed in it stays for its next command, and never reaches this machine. systemd does not run in it."""

    def __init__(self, below=None):
        """below: another machine, whose state this one begins with, and which must not be changed any more."""
        self.folder = Path(tempfile.mkdtemp(prefix="drainhook-", dir=LAYERS))
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir(mode=0o755)
        self.lower = f"{below.folder}/upper:{below.lower}" if below else "/"

    def run(self, *command, network=False):
        """Runs a command; without a network, or with this machine's. Returns a CompletedProcess, with text."""
        namespaces = ["--mount", "--pid", "--fork", "--kill-child"] + ([] if network else ["--net"])
        return subprocess.run(
            ["unshare", *namespaces, "bash", "-c", ENTER, "enter", self.lower, self.folder, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def do(self, *command):
        """Runs a command that must succeed; returns what it prints."""
        done = self.run(*command)
        assert done.returncode == 0, done
        return done.stdout

    def put(self, source, path, mode=0o644):
        """Copies a file of this machine into it."""
        target = self.folder / "upper" / path.lstrip("/")
        # /tmp is for everybody in every machine.
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(mode)

    def remove(self):
        """Takes it away with all that was done in it."""
        shutil.rmtree(self.folder)


if __name__ == "__main__":
    machine = Machine()
    try:
        machine.do("true")
    finally:
        machine.remove()
