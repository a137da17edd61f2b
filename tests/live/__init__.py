"""Real parts for tests: databases, Redis, servers, a protocol client, a browser.

Nothing here pretends. Each module starts one kind of process on a free port in a folder of its
own, waits until it answers, and ends it by its pid. What is started also dies with the test run
itself, even when that is killed (`setpriv --pdeathsig`).
"""
