"""A throw-away machine for installing packages: an overlay over the host's files, in its own namespaces.

Run as a script, it tests whether this host can create such a machine.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

# The folder of the overlay's layers. overlayfs requires that they are outside the file system below.
LAYERS = "/dev/shm"

# $1 is the lower layers, $2 the machine's folder, the rest is the command.
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
    """Changes persist between commands, and never reach the host. systemd does not run."""

    def __init__(self, below=None):
        """`below` is another machine whose state this one starts with. It must not change afterwards."""
        self.folder = Path(tempfile.mkdtemp(prefix="drainhook-", dir=LAYERS))
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir(mode=0o755)
        self.lower = f"{below.folder}/upper:{below.lower}" if below else "/"

    def run(self, *command, network=False):
        """Runs a command, without a network or with the host's. Returns a CompletedProcess with text output."""
        namespaces = ["--mount", "--pid", "--fork", "--kill-child"] + ([] if network else ["--net"])
        return subprocess.run(
            ["unshare", *namespaces, "bash", "-c", ENTER, "enter", self.lower, self.folder, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def do(self, *command):
        """Runs a command that must succeed. Returns its standard output."""
        done = self.run(*command)
        assert done.returncode == 0, done
        return done.stdout

    def put(self, source, path, mode=0o644):
        """Copies a file from the host into the machine."""
        target = self.folder / "upper" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(mode)

    def remove(self):
        """Deletes the machine."""
        shutil.rmtree(self.folder)


if __name__ == "__main__":
    machine = Machine()
    try:
        machine.do("true")
    finally:
        machine.remove()
