"""A site of django-notifications-hq, polled as its notify.js does: unread_list/?max=5.

It is a package `notifications` too, so it runs in a folder and with packages of its own
(bench/polling.py installs them), on the newest Django that it works with.

    python polled.py PEOPLE COOKIES    make the database, and write the people's cookies
    gunicorn polled:application        serve it
    python polled.py tell COUNT        a notification each to so many people
"""

import os
import sys
import time

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="only-for-the-bench",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="polled",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "notifications",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": "127.0.0.1",
            "PORT": os.environ["PG_PORT"],
            "USER": "test",
            "NAME": os.environ["PG_NAME"],
            "CONN_MAX_AGE": 600,
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import include, path  # noqa: E402

urlpatterns = [path("inbox/notifications/", include("notifications.urls", "notifications"))]
application = get_wsgi_application()


def move_in(count, cookies):
    """People with a session and five unread notifications each."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore
    from django.core.management import call_command

    from notifications.signals import notify

    call_command("migrate", verbosity=0)
    users = User.objects.bulk_create([User(username=f"crowd{n}") for n in range(count)])
    sender = User.objects.create(username="shop")
    for _ in range(5):
        notify.send(sender, recipient=users, verb="Your export of March is ready")
    with open(cookies, "w") as out:
        for user in users:
            session = SessionStore()
            session[SESSION_KEY] = str(user.pk)
            session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
            session[HASH_SESSION_KEY] = user.get_session_auth_hash()
            session.create()
            out.write(f"{settings.SESSION_COOKIE_NAME}={session.session_key}\n")


def tell(count):
    from django.contrib.auth.models import User

    from notifications.signals import notify

    sender = User.objects.get(username="shop")
    people = list(User.objects.filter(username__startswith="crowd").order_by("pk"))
    for user in people[:: max(1, len(people) // count)][:count]:  # they poll in this order
        mark = f"@{time.clock_gettime_ns(time.CLOCK_MONOTONIC)}@"
        notify.send(sender, recipient=user, verb=f"Your export of March is ready {mark}")


if __name__ == "__main__":
    if sys.argv[1] == "tell":
        tell(int(sys.argv[2]))
    else:
        move_in(int(sys.argv[1]), sys.argv[2])
