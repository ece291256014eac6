"""The web part as a process: `madoguchi up` runs it as a child. Its settings come from the environment."""

from __future__ import annotations

import sys

from config.settings import Settings, SettingsError, load_settings
from madoguchi.adapters import log_redaction
from madoguchi.web import Taker, WebSecrets, build_app, server
from tasks.verdicts import reconsider
from tasks.wiring import build_services


def run(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C; 1 when the port cannot be had."""
    services = build_services(settings)
    taker = Taker(services, reconsider)
    secrets = WebSecrets(settings.zoom.webhook_secret.get_secret_value(), settings.web.password.get_secret_value())
    app = build_app(services, secrets, taker, settings.resolved_site_dir)
    web = server(app, settings.web.host, settings.web.port)
    taker.start()
    try:
        web.run()
    finally:
        taker.stop()
    return 0 if web.started else 1


def main() -> int:
    """Run as a child of `madoguchi up`."""
    log_redaction.install()
    try:
        return run(load_settings())
    except SettingsError as error:
        for problem in error.problems:
            print(f"madoguchi web: {problem}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
