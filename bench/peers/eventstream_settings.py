"""A site of django-eventstream, told from other processes through Redis."""

import os
from urllib.parse import urlsplit

_redis = urlsplit(os.environ["REDIS_URL"])

SECRET_KEY = "only-for-the-bench"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "bench.peers.eventstream"
INSTALLED_APPS = ["django_eventstream"]
EVENTSTREAM_REDIS = {"host": _redis.hostname, "port": _redis.port, "db": 1}
USE_TZ = True
