"""The settings of the town's processes: the site's own, and the app broken where a test asks."""

import faulthandler
import os
import signal

from tests.chaos import mutations

# kill -USR1 makes a process of the town print in its log what each of its threads is doing.
faulthandler.register(signal.SIGUSR1)
mutations.let_in(os.environ.get("CHAOS_BREAK", ""))

from tests.live.settings import *  # noqa: E402, F403
