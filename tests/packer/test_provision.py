"""install.sh and validate.sh in throw-away machines: what they install, find and refuse. A refusal changes nothing."""

import hashlib
import http.server
import os
import shutil
import subprocess
import tempfile
import threading
import unittest
from functools import partial
from pathlib import Path

from machine import Machine

PROVISION = Path(__file__).resolve().parents[2] / "packer" / "provision"
BINARY = Path(os.environ["DRAINHOOK_BIN"])
INSTALL = ("bash", "/tmp/install.sh")
VALIDATE = ("bash", "/tmp/validate.sh")
CHECKS = ["binary", "unit", "enabled", "user", "configuration", "sandbox", "files", "journal", "daemon"]
SYSTEMD = PROVISION.parents[1] / "systemd"


def architecture():
    return subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()


def package(folder, version="1.0-1", name="drainhook", arch=None, full=False):
    """Builds a .deb. With `full`, it has everything that validate.sh checks, else almost nothing."""
    arch = arch or architecture()
    tree = Path(tempfile.mkdtemp(dir=folder))
    tree.chmod(0o755)
    (tree / "DEBIAN").mkdir(0o755)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\nMaintainer: a test\nDescription: a test\n"
    (tree / "DEBIAN/control").write_text(control)
    files = {"usr/share/doc/drainhook/README": "a test\n"}
    if full:
        files = {
            "usr/lib/systemd/system/drainhook.service": (SYSTEMD / "drainhook.service").read_text(),
            "usr/lib/sysusers.d/drainhook.conf": (SYSTEMD / "drainhook.sysusers").read_text(),
            "etc/drainhook/drainhook.toml": f"# all defaults of {version}\n",
            "DEBIAN/conffiles": "/etc/drainhook/drainhook.toml\n",
            "DEBIAN/postinst": "#!/bin/sh\nexec systemd-sysusers drainhook.conf\n",
        }
    for path, text in files.items():
        (tree / path).parent.mkdir(0o755, parents=True, exist_ok=True)
        (tree / path).write_text(text)
    if full:
        (tree / "DEBIAN/postinst").chmod(0o755)
        (tree / "usr/bin").mkdir()
        shutil.copy(BINARY, tree / "usr/bin/drainhook")
    subprocess.run(["chmod", "-R", "go-w", tree], check=True)
    file = folder / f"{name}_{version}_{arch}.deb"
    build = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, file]
    subprocess.run(build, check=True, capture_output=True)
    shutil.rmtree(tree)
    return file


bare = None
installed = None
installation = None


def setUpModule():
    """Creates a machine with the scripts and a package in /tmp, and one above it with the package installed."""
    global bare, installed, installation
    bare = machine_for(unittest.addModuleCleanup)
    for script in ("install.sh", "validate.sh"):
        bare.put(PROVISION / script, f"/tmp/{script}")
    with tempfile.TemporaryDirectory() as folder:
        bare.put(package(Path(folder), full=True), "/tmp/drainhook.deb")
    # A fresh image has no package lists. apt also takes seconds to read them.
    bare.do("sh", "-c", "rm -rf /var/lib/apt/lists/*")
    installed = machine_for(unittest.addModuleCleanup, bare)
    installation = installed.run(*INSTALL, "/tmp/drainhook.deb")


def machine_for(add_cleanup, below=None):
    machine = Machine(below)
    add_cleanup(machine.remove)
    return machine


class Provision(unittest.TestCase):
    def setUp(self):
        self.files = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.files)

    def machine(self, below):
        return machine_for(self.addCleanup, below)


class Install(Provision):
    def version(self, machine):
        status = machine.run("dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", "drainhook")
        return status.stdout

    def refused(self, why, *arguments, status=1, before=(), put=None, network=False):
        """Runs install.sh with arguments that it must refuse before it changes anything."""
        machine = self.machine(bare)
        if put:
            machine.put(put, "/tmp/given")
        done = machine.run(*before, *INSTALL, *arguments, network=network)
        self.assertEqual(done.returncode, status, done)
        self.assertIn(why, done.stderr)
        self.assertNotIn("installing", done.stdout)
        self.assertEqual(self.version(machine), "")

    def test_usage(self):
        sum = "0f" * 32
        usages = [
            ("no package is given", []),
            ("there is no option --force", ["--force", "/tmp/drainhook.deb"]),
            ("two packages are given", ["/tmp/drainhook.deb", "/tmp/drainhook.deb"]),
            ("--config needs a value", ["/tmp/drainhook.deb", "--config"]),
            ("a package and a URL are given", ["/tmp/drainhook.deb", "--url", "http://127.0.0.1/", "--sha256", sum]),
            ("--url takes an http:// or https:// URL", ["--url", "/tmp/drainhook.deb", "--sha256", sum]),
            ("--url needs --sha256", ["--url", "http://127.0.0.1/"]),
            ("--sha256 takes 64 hexadecimal digits", ["--url", "http://127.0.0.1/", "--sha256", "0f"]),
            ("--sha256 goes with --url", ["/tmp/drainhook.deb", "--sha256", sum]),
        ]
        for why, arguments in usages:
            with self.subTest(why):
                self.refused(why, *arguments, status=2)

    def test_help(self):
        done = self.machine(bare).run(*INSTALL, "--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("usage: install.sh PACKAGE", done.stdout)

    def test_not_root(self):
        as_other_user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        self.refused("needs root", "/tmp/drainhook.deb", before=as_other_user)

    def test_missing_files(self):
        self.refused("there is no file /tmp/none.deb", "/tmp/none.deb")
        self.refused("there is no file /tmp/none.toml for --config", "/tmp/drainhook.deb", "--config", "/tmp/none.toml")

    def test_neither_deb_nor_rpm(self):
        for name, content in (("text", b"not a package\n"), ("empty", b"")):
            with self.subTest(name):
                file = self.files / name
                file.write_bytes(content)
                self.refused("neither a .deb nor a .rpm", "/tmp/given", put=file)

    def test_rpm(self):
        file = self.files / "start-of-rpm"
        file.write_bytes(b"\xed\xab\xee\xdb\x03\x00\x00\x00")
        self.refused("is a .rpm, but this machine installs .deb", "/tmp/given", put=file)

    def test_other_architecture(self):
        other = "amd64" if architecture() == "arm64" else "arm64"
        file = package(self.files, arch=other)
        self.refused(f"is for {other}, but this machine is {architecture()}", "/tmp/given", put=file)

    def test_other_package(self):
        self.refused("is the package hello, not drainhook", "/tmp/given", put=package(self.files, name="hello"))

    def test_damaged(self):
        whole = package(self.files, version="1.1-1").read_bytes()
        file = self.files / "cut"
        file.write_bytes(whole[:-2000])
        self.refused("is damaged", "/tmp/given", put=file)

    def serve(self):
        """Serves the files on loopback. Returns the server's URL, a package's URL and its SHA-256."""
        file = package(self.files)
        handler = partial(Quiet, directory=self.files)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}"
        return url, f"{url}/{file.name}", hashlib.sha256(file.read_bytes()).hexdigest()

    def test_downloads(self):
        url, of_package, sum = self.serve()
        other = hashlib.sha256(b"").hexdigest()
        self.refused(
            f"has the SHA-256 {sum}, but {other} was expected", "--url", of_package, "--sha256", other, network=True
        )
        self.refused("could not download", "--url", f"{url}/none.deb", "--sha256", sum, network=True)
        machine = self.machine(bare)
        done = machine.run(*INSTALL, "--url", of_package, "--sha256", sum.upper(), network=True)
        # The package has no unit, so install.sh can install it but not enable it.
        self.assertEqual(self.version(machine), "installed 1.0-1", done)
        self.assertIn("could not enable", done.stderr)

    def test_install_without_network(self):
        done = installation
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("enabled drainhook.service: it starts with the next boot", done.stdout)
        self.assertEqual(self.machine(installed).do("systemctl", "is-enabled", "drainhook"), "enabled\n")

    def test_second_install_changes_nothing(self):
        machine = self.machine(installed)
        done = machine.run(*INSTALL, "/tmp/drainhook.deb")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("nothing has changed", done.stdout)
        written = [path for path in (machine.folder / "upper").rglob("*") if path.is_file()]
        self.assertEqual(written, [])

    def test_upgrade(self):
        """An upgrade keeps the configuration. A downgrade is refused."""
        machine = self.machine(installed)
        machine.do("sh", "-c", "echo '# mine' >/etc/drainhook/drainhook.toml")
        machine.put(package(self.files, version="1.1-1", full=True), "/tmp/given")
        done = machine.run(*INSTALL, "/tmp/given")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("installing drainhook 1.1-1 in place of 1.0-1", done.stdout)
        self.assertEqual(self.version(machine), "installed 1.1-1")
        self.assertEqual(machine.do("cat", "/etc/drainhook/drainhook.toml"), "# mine\n")
        done = machine.run(*INSTALL, "/tmp/drainhook.deb")
        self.assertIn("before a downgrade, remove drainhook", done.stderr)
        self.assertEqual(self.version(machine), "installed 1.1-1")

    def test_binary_that_does_not_run(self):
        """The binary cannot check the configuration, so install.sh fails and keeps the old one."""
        machine = self.machine(installed)
        machine.do("ln", "--symbolic", "--force", "/bin/false", "/usr/bin/drainhook")
        machine.do("touch", "/tmp/own.toml")
        done = machine.run(*INSTALL, "/tmp/drainhook.deb", "--config", "/tmp/own.toml")
        self.assertEqual(done.returncode, 1, done)
        self.assertNotEqual(machine.do("cat", "/etc/drainhook/drainhook.toml"), "")

    def test_configuration(self):
        machine = self.machine(installed)
        show = ("cat", "/etc/drainhook/drainhook.toml")
        before = machine.do(*show)
        machine.do("sh", "-c", "printf '[agent]\\nurll = 1\\n' >/tmp/own.toml")
        done = machine.run(*INSTALL, "/tmp/drainhook.deb", "--config", "/tmp/own.toml")
        self.assertEqual(done.returncode, 78, done)
        self.assertIn("did you mean `agent.url`", done.stderr)
        self.assertEqual(machine.do(*show), before)
        machine.do("sh", "-c", "printf '[agent]\\ndrain_timeout = \"2h\"\\n' >/tmp/own.toml; chmod 600 /tmp/own.toml")
        done = machine.run(*INSTALL, "/tmp/drainhook.deb", "--config", "/tmp/own.toml")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("2h", machine.do(*show))
        self.assertIn("is now /tmp/own.toml", done.stdout)
        mode = machine.do("stat", "--format", "%U:%G %a", "/etc/drainhook/drainhook.toml")
        self.assertEqual(mode, "root:root 644\n")
        done = machine.run(*INSTALL, "/tmp/drainhook.deb", "--config", "/tmp/own.toml")
        self.assertIn("nothing has changed", done.stdout)

    def test_rule_for_polkit(self):
        """The rule is installed with a configuration that has a unit, and removed with one that has none."""
        rule = "/etc/polkit-1/rules.d/50-drainhook.rules"
        machine = self.machine(installed)
        machine.do("mkdir", "--parents", "/etc/polkit-1/rules.d")
        machine.do("sh", "-c", "printf '[agent]\\nunit = \"worker.service\"\\n' >/tmp/own.toml")
        install = (*INSTALL, "/tmp/drainhook.deb", "--config", "/tmp/own.toml")
        done = machine.run(*install)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn(f"installed {rule}", done.stdout)
        self.assertIn('"worker.service": ["start", "stop"]', machine.do("cat", rule))
        self.assertEqual(machine.do("drainhook", "config", "--polkit"), machine.do("cat", rule))
        self.assertEqual(machine.do("stat", "--format", "%U:%G %a", rule), "root:root 644\n")
        self.assertIn("nothing has changed", machine.run(*install).stdout)
        machine.do("sh", "-c", "echo >/tmp/own.toml")
        self.assertIn(f"removed {rule}", machine.run(*install).stdout)
        self.assertNotEqual(machine.run("test", "-e", rule).returncode, 0)


class Validate(Provision):
    def results(self, machine):
        """The exit code, and the result and message of each check."""
        done = machine.run(*VALIDATE)
        lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
        self.assertEqual([name for _, name, _ in lines], CHECKS, done)
        self.assertEqual(done.stderr, "")
        return done.returncode, {name: (result, words) for result, name, words in lines}

    def test_installed(self):
        status, results = self.results(self.machine(installed))
        self.assertEqual(status, 0, results)
        self.assertEqual({result for result, _ in results.values()}, {"ok"}, results)
        self.assertRegex(results["sandbox"][1], r"^exposure 1\.[0-2] OK ")

    def test_nothing_installed(self):
        status, results = self.results(self.machine(bare))
        failed = {name for name, (result, _) in results.items() if result == "failed"}
        self.assertEqual(status, 1)
        self.assertEqual(failed, {"binary", "unit", "enabled", "user", "configuration", "files"}, results)

    def test_each_check_finds_its_defect(self):
        """For each defect, exactly the right check fails, and says what to do."""
        write = "sh", "-c"
        unit = "/etc/systemd/system/drainhook.service.d"
        state = "/var/lib/drainhook"
        environment = "/etc/drainhook/drainhook.env"
        wrong = [
            ("binary", "install the package", ["ln", "-sf", "/bin/false", "/usr/bin/drainhook"]),
            ("unit", "drop-ins", [*write, f"mkdir {unit}; echo '[Service]\nRestat=no' >{unit}/own.conf"]),
            ("enabled", "systemctl enable", ["systemctl", "--quiet", "disable", "drainhook"]),
            ("configuration", "correct", [*write, "echo 'x = 1' >/etc/drainhook/drainhook.toml"]),
            ("configuration", "Permission denied", ["chmod", "600", "/etc/drainhook/drainhook.toml"]),
            ("configuration", "agent.urll", [*write, f"echo DRAINHOOK_AGENT__URLL=x >{environment}"]),
            ("configuration", "soon", [*write, f"echo 'DRAINHOOK_AGENT__DRAIN_TIMEOUT=\"soon\"' >{environment}"]),
            ("files", "drainhook.toml is root 666", ["chmod", "666", "/etc/drainhook/drainhook.toml"]),
            ("files", "/etc/drainhook is drainhook 755", ["chown", "drainhook", "/etc/drainhook"]),
            ("files", "drainhook.conf is missing", ["rm", "/usr/lib/sysusers.d/drainhook.conf"]),
            ("files", f"{state} is not drainhook's", ["mkdir", state]),
            ("journal", f"rm -r {state}", ["install", "-D", "--owner", "drainhook", "/dev/null", f"{state}/journal"]),
        ]
        for check, words, command in wrong:
            with self.subTest(check=check, command=command):
                machine = self.machine(installed)
                machine.do(*command)
                if check == "journal":
                    machine.do("chown", "drainhook", state)
                status, results = self.results(machine)
                self.assertEqual((status, results[check][0]), (1, "failed"), results)
                self.assertRegex(results[check][1], words)
                others = {name for name, (result, _) in results.items() if result == "failed"} - {check}
                # A binary that does not run cannot check the configuration either.
                self.assertLessEqual(others, {"configuration"} if check == "binary" else set(), results)

    def test_environment_file(self):
        machine = self.machine(installed)
        good = '# c\nAWS_REGION=eu-west-1\n  DRAINHOOK_AGENT__NAME="a b" \nDRAINHOOK_LOG__LEVEL=\'debug\'\n'
        machine.do("sh", "-c", f"cat >/etc/drainhook/drainhook.env <<'END'\n{good}END")
        status, results = self.results(machine)
        self.assertEqual(status, 0, results)

    def test_usage(self):
        machine = self.machine(bare)
        self.assertIn("usage: validate.sh", machine.do(*VALIDATE, "--help"))
        done = machine.run(*VALIDATE, "--fast")
        self.assertEqual(done.returncode, 2, done)
        done = machine.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *VALIDATE)
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("needs root", done.stderr)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


if __name__ == "__main__":
    unittest.main()
