"""The site's own settings, with nothing hidden from its log, and open to a test's own wishes."""

import json
import os

from project.settings import *  # noqa: F403

# Without DEBUG Django prints no traceback of a view, and a test that looks for tracebacks in the
# log would be blind to them.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "plain"},
        "alerts": {"class": "notifications.logging.AlertHandler"},
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.request": {"handlers": ["alerts"]},
        "project": {"handlers": ["alerts"]},
    },
}

for _name, _value in json.loads(os.environ.get("TEST_SETTINGS", "{}")).items():
    _before = globals().get(_name)
    globals()[_name] = {**_before, **_value} if isinstance(_before, dict) else _value
