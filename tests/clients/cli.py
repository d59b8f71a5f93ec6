"""The AWS CLI, without a process for each call, which would take a second or two on a busy machine: each line of standard
input is a JSON list of the words after `aws`, and is answered by a line with the exit code, what it wrote, and its errors.

The CLI replaces botocore by its own, so it cannot run in a process that has imported botocore."""

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
