"""Django signals for projects to hook. Each is sent after the commit, never for a rollback.

A receiver that raises is logged and stops nobody else (`transaction.on_commit(robust=True)`).
"""

from django.dispatch import Signal

notification_sent = Signal()
"""A notification was stored. `sender`: its `Notice` class or None; `notification`; `audience`."""

notification_recalled = Signal()
"""A notification was withdrawn. `sender`: the `Notification` class; `notification`."""

inbox_changed = Signal()
"""A person acted on their inbox. `sender`: the user model; `person_id`, `action`, `ids`."""
