"""The site's settings with the other Redis layer, channels_redis.core."""

from project.settings import *  # noqa: F403
from project.settings import CHANNEL_LAYERS, REDIS_URL

CHANNEL_LAYERS["default"] = {
    "BACKEND": "channels_redis.core.RedisChannelLayer",
    "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": 15}], "capacity": 10_000},
}
