"""Every Python with every Django that is supported, where the interpreter exists: `nox`.

`nox` itself is not installed by `make`; `pip install nox`, or `pipx run nox`. With
`nox -- tests/kernel` only those tests.
"""

import nox

nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True


@nox.session(python=["3.11", "3.12", "3.13"])
@nox.parametrize("django", ["5.2", "6.0"])
def tests(session: nox.Session, django: str) -> None:
    if django >= "6" and session.python == "3.11":
        session.skip("Django 6 needs Python 3.12")
    session.install("-r", "requirements-dev.txt", f"Django~={django}.0")
    session.run("python", "-m", "pytest", *session.posargs)
