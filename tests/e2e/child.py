"""`python -m tests.e2e.child ARGUMENT...`: the command `madoguchi`, once and again for each line of its input.

MADOGUCHI_TEST_KILL, JSON: `statement` (a regular expression), `when` ("before" or "after" it runs), `count` (the how
manieth). The process group then gets SIGKILL: no exit function, no rollback, no flush.
MADOGUCHI_TEST_CHUNK: rows a transaction in intake, so that a small export takes several.
"""

import json
import os
import re
import signal
import sys
from itertools import count

from sqlalchemy import Engine, event

from madoguchi.cli import main
from tasks import intake


def arrange_kill(order):
    wanted, numbers = re.compile(order["statement"]), count(1)

    def strike(_connection, _cursor, statement, *_):
        if wanted.search(statement) and next(numbers) == order.get("count", 1):
            os.killpg(os.getpgid(0), signal.SIGKILL)

    event.listen(Engine, f"{order['when']}_cursor_execute", strike)


def run(arguments):
    if kill := os.environ.get("MADOGUCHI_TEST_KILL"):
        arrange_kill(json.loads(kill))
    if chunk := os.environ.get("MADOGUCHI_TEST_CHUNK"):
        intake.STAGE_CHUNK = intake.FINISH_CHUNK = int(chunk)
    while True:
        sys.stdout.write(json.dumps({"code": main(arguments)}) + "\n")
        sys.stdout.flush()
        if not sys.stdin.readline():
            break


if __name__ == "__main__":
    run(sys.argv[1:])
