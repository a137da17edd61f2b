"""Chaos: real processes under every fault a real site meets, and a judge who believes nobody.

    python -m tests.chaos --seed 1           every scenario, 10,000 notifications each
    python -m tests.chaos --short --only redis

Who does what:

    ledger.py     an independent client: writes down every item it applies (websockets, stdlib)
    callers.py    the site's callers, who notify in ugly transactions, and write down what stood
    truth.py      what the database holds, read without giving anything a number
    judge.py      compares the three: lost, twice, out of order, counts, how long it took
    town.py       the system under test: databases, servers, nginx, Redis, people, callers
    scenarios.py  what is done to the town, one small class each
    mutations.py  the app, broken on purpose: each scenario must fail against one of these
    settings.py   the settings of the town's processes, where the mutations are let in
    report.py     the table
"""
