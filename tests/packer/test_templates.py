"""The templates, with Debian's Packer 1.6. It cannot read plugins.pkr.hcl and the part between the marks."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

PACKER = Path(__file__).resolve().parents[2] / "packer"
IMAGES = ["al2023-arm64", "al2023-x86_64", "debian-12-arm64", "debian-12-x86_64"]
NEWER = re.compile(r"\n  # <not in Packer 1\.6>\n(.*?)  # </not in Packer 1\.6>\n", re.DOTALL)
CHECKSUM = "#sha256=" + "0f" * 32


def run(*command, home):
    """Runs Packer without calls to servers: it checks no versions and has no credentials."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "CHECKPOINT_DISABLE": "1"}
    return subprocess.run(
        ["packer", *command], env=environment, cwd=home, capture_output=True, text=True, timeout=60
    )


def words(done):
    """The output of a command, as one line."""
    return " ".join((done.stdout + done.stderr).split())


class Templates(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def validate(self, *arguments, **variables):
        return self.packer("validate", *arguments, **variables)

    def packer(self, command, *arguments, **variables):
        """Runs Packer on a copy that 1.6 can read, with dummy package files."""
        copy = self.folder / "packer"
        if not copy.exists():
            shutil.copytree(PACKER, copy, ignore=shutil.ignore_patterns("plugins.pkr.hcl"))
            template = copy / "drainhook.pkr.hcl"
            text, cut = NEWER.subn("\n", template.read_text())
            self.assertEqual(cut, 1, "the template must have exactly one part that Packer 1.6 cannot read")
            template.write_text(text)
            for name in ("drainhook.deb", "drainhook.rpm", "own.toml"):
                (self.folder / name).write_text("a file\n")
        given = {"region": "eu-west-1", "packages": self.packages("drainhook.")} | variables
        variables_file = self.folder / "given.pkrvars.json"
        variables_file.write_text(json.dumps(given))
        return run(command, *arguments, "-var-file", str(variables_file), str(copy), home=self.folder)

    def packages(self, start, end=""):
        return {image: start + ("rpm" if "al2023" in image else "deb") + end for image in IMAGES}

    def assert_valid(self, done):
        self.assertEqual(done.returncode, 0, words(done))

    def assert_refused(self, done, why):
        self.assertNotEqual(done.returncode, 0, f"not refused: {why}")
        self.assertIn(why, words(done))

    def test_format(self):
        done = run("fmt", "-check", "-diff", str(PACKER), home=self.folder)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_package_files(self):
        self.assert_valid(self.validate())

    def test_package_urls(self):
        self.assert_valid(self.validate(packages=self.packages("https://example.org/drainhook.", CHECKSUM)))

    def test_arguments_of_install(self):
        """The arguments of install.sh, as the shell splits them."""
        packages = {IMAGES[0]: "out dir/drainhook.rpm", IMAGES[2]: "https://example.org/a?b=$c" + CHECKSUM}
        done = self.packer("inspect", packages=packages, configuration="own.toml")
        printed = done.stdout.split("local.package_arguments")[1]
        given = dict(re.findall(r'\\"([a-z0-9_-]+)\\" = \\"(.*?)\\"\\n', printed))
        self.assertEqual(
            {image: shlex.split(arguments) for image, arguments in given.items()},
            {
                IMAGES[0]: ["/tmp/drainhook/drainhook.rpm"],
                IMAGES[2]: ["--url", "https://example.org/a?b=$c", "--sha256", "0f" * 32],
            },
        )
        self.assertIn("local.configuration_arguments: \"--config '/tmp/drainhook/own.toml'\"", done.stdout)

    def test_all_variables(self):
        self.assert_valid(
            self.validate(
                configuration="own.toml",
                ami_prefix="agents/drainhook",
                instance_type_x86_64="m7i-flex.large",
                instance_type_arm64="c7g.medium",
                subnet_id="subnet-0123456789abcdef0",
                ssh_cidrs=["192.0.2.0/24"],
                instance_profile="builder",
                kms_key_id="alias/images",
                tags={"Team": "ci"},
            )
        )

    def test_one_image(self):
        packages = {"debian-12-arm64": "drainhook.deb"}
        self.assert_valid(self.validate("-only=*.debian-12-arm64", packages=packages))
        done = self.validate(packages=packages)
        for image in IMAGES:
            missing = f"packages has no package for {image}: add one, or build only the other images (-only)"
            if image in packages:
                self.assertNotIn(missing, words(done))
            else:
                self.assert_refused(done, missing)

    def test_missing_files(self):
        self.assert_refused(self.validate(packages=self.packages("other.")), "Bad source 'other.deb'")
        self.assert_refused(self.validate(configuration="other.toml"), "Bad source 'other.toml'")

    def test_refused_variables(self):
        """Each bad value is refused with our own message, and each message is tested."""
        image = IMAGES[3]
        refused = [
            ("region", ["", "Ireland", "eu-west-1a"]),
            ("packages", [{"debian-13-x86_64": "drainhook.deb"}]),
            ("packages", [{image: ""}, {image: "drainhook.rpm"}, {"al2023-arm64": "drainhook.deb"}]),
            ("packages", [{image: "https://example.org/drainhook.deb"}, {image: "https://e.org/a.deb#sha256=0f"}]),
            ("packages", [{image: "http://example.org/drainhook.deb" + CHECKSUM}, {image: "a'b.deb"}]),
            ("configuration", ["drainhook.yaml"]),
            ("ami_prefix", ["", "a:b", "x" * 91]),
            ("instance_type_x86_64", ["", "large"]),
            ("instance_type_arm64", ["", "large"]),
            ("subnet_id", ["vpc-0123456789abcdef0", "subnet-X"]),
            ("ssh_cidrs", [[], ["192.0.2.1"]]),
            ("instance_profile", ["arn:aws:iam::123456789012:instance-profile/builder"]),
            ("kms_key_id", ["my key", "arn:aws:s3:::bucket"]),
            ("tags", [{"aws:team": "ci"}, {"": "ci"}]),
        ]
        text = (PACKER / "variables.pkr.hcl").read_text()
        messages = {
            variable[0]: re.findall(r'error_message = "(.*)"', variable[1])
            for variable in re.findall(r'\nvariable "(.*?)" \{\n(.*?)\n\}\n', text, re.DOTALL)
        }
        said = set()
        for name, values in refused:
            for value in values:
                with self.subTest(name=name, value=value):
                    done = self.validate(**{name: value})
                    ours = [message for message in messages[name] if message in words(done)]
                    self.assertNotEqual(done.returncode, 0, f"{name} = {value} is not refused")
                    self.assertEqual(len(ours), 1, words(done))
                    said.update(ours)
        self.assertEqual(said, {message for ours in messages.values() for message in ours})

    def test_imdsv2(self):
        """Packer 1.6 cannot read this part, so the test only checks that the settings are there."""
        newer = NEWER.search((PACKER / "drainhook.pkr.hcl").read_text())[1]
        self.assertRegex(newer, r'metadata_options \{[^}]*http_tokens *= "required"[^}]*\}')
        self.assertRegex(newer, r'imds_support = "v2\.0"')

    def test_readme_table(self):
        rows = ["| variable | default | |", "|---|---|---|"]
        text = (PACKER / "variables.pkr.hcl").read_text()
        for name, body in re.findall(r'\nvariable "(.*?)" \{\n(.*?)\n\}\n', text, re.DOTALL):
            description = re.search(r'description = "(.*)"', body)[1]
            default = re.search(r"\n  default     = (.*)", body)
            rows.append(f"| `{name}` | {f'`{default[1]}`' if default else 'must be given'} | {description} |")
        table = "<!-- variables:start -->\n" + "\n".join(rows) + "\n<!-- variables:end -->"
        self.assertIn(table, (PACKER / "README.md").read_text(), f"packer/README.md must have:\n\n{table}")


if __name__ == "__main__":
    unittest.main()
