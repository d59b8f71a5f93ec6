"""Runs the AWS CLI many times in one process, because starting a process per call takes a second or two.

Each line of standard input is a JSON list of the words after `aws`. The answer is a line with a JSON list: exit code,
standard output, standard error.

The CLI brings its own botocore, so it cannot run in a process that has imported botocore."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout

from awscli.clidriver import create_clidriver

driver = create_clidriver()
for line in sys.stdin:
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        code = driver.main(json.loads(line))
    print(json.dumps([code, out.getvalue(), errors.getvalue()]), flush=True)
