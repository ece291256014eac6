"""`python -m tests.e2e.day_child`: the command `madoguchi`, once for each line of its input; warm before the first.

A line is JSON: `arguments`; `kill` (see `child.arrange_kill`) or nothing; `chunk`, sessions a transaction of the sweep,
so that a small day takes several.
"""

import json
import os
import sys
from contextlib import redirect_stdout

from config.settings import ROOT, load_settings
from madoguchi.adapters.prefect_server import connect
from madoguchi.cli import main
from tests.e2e.child import arrange_kill


def warm_up():
    """Import what takes long, in the order in which the command does it: Prefect reads its environment once."""
    settings = load_settings()
    connect(settings.var_dir, settings.prefect.host, settings.prefect.port, ROOT / "config" / "prefect_logging.yml")
    from flows import cancel_booking, move_booking, process_requests, reconcile_zoom, send_reminders, sweep_no_shows

    return cancel_booking, move_booking, process_requests, reconcile_zoom, send_reminders, sweep_no_shows


def run():
    # stdout is what the test reads line by line.
    with redirect_stdout(sys.stderr):
        warm_up()
    from tasks import verdicts

    batch = verdicts.BATCH
    for line in sys.stdin:
        order = json.loads(line)
        verdicts.BATCH = order.get("chunk") or batch
        if order.get("kill"):
            arrange_kill(order["kill"])
        sys.stdout.write(json.dumps({"code": main(order["arguments"])}) + "\n")
        sys.stdout.flush()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    run()
