"""Writes dump.sql: a database as django-notifications-hq leaves it, made by that package itself.

Not run by the tests, since it needs an old Django: in an empty environment,

    pip install django-notifications-hq==1.8.3 'Django>=5.0,<5.1'
    python make_dump.py
"""

import os
import sqlite3
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path = [path for path in sys.path if Path(path or ".").resolve() != HERE]

import django  # noqa: E402
from django.conf import settings  # noqa: E402

database = os.path.join(tempfile.mkdtemp(), "old.sqlite3")
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "notifications"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
    DJANGO_NOTIFICATIONS_CONFIG={"SOFT_DELETE": True, "USE_JSONFIELD": True},
    SECRET_KEY="old",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402
from django.core.management import call_command  # noqa: E402

from notifications.signals import notify  # noqa: E402

call_command("migrate", verbosity=0)
noon = datetime(2025, 3, 1, 12, tzinfo=UTC)
ana, bo, jz = (User.objects.create(username=name, date_joined=noon) for name in ("ana", "bo", "jz"))
editors = Group.objects.create(name="editors")
ana.groups.add(editors)
bo.groups.add(editors)

notify.send(bo, recipient=ana, verb="reached level 60", timestamp=noon)
notify.send(
    bo,
    recipient=ana,
    verb="closed",
    action_object=jz,
    target=editors,
    level="warning",
    description="At last.",
    url="/issues/7/",
    answer=42,
    timestamp=noon.replace(hour=13),
)
notify.send(editors, recipient=editors, verb="met", timestamp=noon.replace(hour=14))
gone = Group.objects.create(name="gone")
notify.send(bo, recipient=jz, verb="founded", target=gone, timestamp=noon.replace(hour=15))
gone.delete()
ana.notifications.get(verb="reached level 60").mark_as_read()
bo.notifications.filter(verb="met").update(deleted=True)

with sqlite3.connect(database) as connection:
    (HERE / "dump.sql").write_text("\n".join(connection.iterdump()) + "\n")
