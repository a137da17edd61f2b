"""What was said (`Notification`), and what each person made of it (`Receipt`, `Reader`)."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..conf import conf


class Level(models.IntegerChoices):
    """How much a notification matters, least first."""

    DEBUG = 10, _("Debug")
    INFO = 20, _("Info")
    SUCCESS = 25, _("Success")
    WARNING = 30, _("Warning")
    ERROR = 40, _("Error")
    CRITICAL = 50, _("Critical")

    @property
    def word(self) -> str:
        """The level's name in the API and on the wire: `info`, `warning`."""
        return self.name.lower()


class NotificationQuerySet(models.QuerySet["Notification"]):
    def about(self, target: models.Model) -> NotificationQuerySet:
        """Those whose target is `target`."""
        return self.filter(target_ref=ref(target))

    def by(self, actor: models.Model) -> NotificationQuerySet:
        """Those whose actor is `actor`."""
        return self.filter(actor_ref=ref(actor))


def ref(instance: models.Model) -> str:
    """A model instance as one word: `demo.order:7`."""
    return f"{instance._meta.label_lower}:{instance.pk}"


def resolve(reference: str) -> models.Model | None:
    """The instance that `ref` named, or None if it is gone."""
    label, _colon, pk = reference.partition(":")
    if not pk:
        return None
    try:
        return apps.get_model(label)._base_manager.get(pk=pk)
    except (LookupError, ObjectDoesNotExist):
        return None


class Notification(models.Model):
    """One piece of news. It lives in one place: with named people, or in one shared stream.

    `title`, `body` and `url` are what was rendered when it was sent, in the site's language.
    A kind is rendered anew in each reader's language from `params`; the stored text stands in
    when that cannot be done any more (the kind or what it spoke of is gone).
    """

    TITLE_LENGTH = 200
    BODY_LENGTH = 10_000
    URL_LENGTH = 2_000
    NAME_LENGTH = 200
    REF_LENGTH = 200
    KIND_LENGTH = 100

    kind = models.CharField(max_length=KIND_LENGTH, blank=True, default="")
    level = models.SmallIntegerField(choices=Level.choices, default=Level.INFO)
    title = models.CharField(max_length=TITLE_LENGTH)
    body = models.TextField(blank=True, default="")
    url = models.CharField(max_length=URL_LENGTH, blank=True, default="")
    actor_ref = models.CharField(max_length=REF_LENGTH, blank=True, default="")
    actor_name = models.CharField(max_length=NAME_LENGTH, blank=True, default="")
    target_ref = models.CharField(max_length=REF_LENGTH, blank=True, default="")
    target_name = models.CharField(max_length=NAME_LENGTH, blank=True, default="")
    params = models.JSONField(default=dict, blank=True)
    data = models.JSONField(default=dict, blank=True)
    audience = models.CharField(max_length=100, blank=True, default="")
    """The shared stream it is in; empty: it is with the people who have a receipt."""
    key = models.CharField(max_length=64, null=True, unique=True, editable=False)
    """Digest of the caller's idempotency key and the audience."""
    created = models.DateTimeField(default=timezone.now)
    """When it came into being for its readers: a scheduled one, at its time."""
    expires = models.DateTimeField(null=True, blank=True)
    recalled_at = models.DateTimeField(null=True, blank=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        permissions = [("broadcast", _("Can broadcast to everybody"))]
        indexes = [
            models.Index(
                fields=["expires"],
                name="notification_expires",
                condition=models.Q(expires__isnull=False),
            ),
            models.Index(
                fields=["target_ref"],
                name="notification_target",
                condition=~models.Q(target_ref=""),
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def level_word(self) -> str:
        return Level(self.level).word

    @property
    def actor(self) -> models.Model | None:
        """Who did it, fetched; None if there is nobody, or they are gone."""
        return resolve(self.actor_ref)

    @property
    def target(self) -> models.Model | None:
        """What it is about, fetched; None if there is nothing, or it is gone."""
        return resolve(self.target_ref)

    def recall(self) -> bool:
        """Withdraw it from every inbox and every open bell. False if it was withdrawn before."""
        from ..notify import recall  # the front door is a floor above; only this verb calls it

        return recall(self)

    async def arecall(self) -> bool:
        """`recall`, for async callers."""
        from asgiref.sync import sync_to_async

        return await sync_to_async(self.recall)()


class Broadcast(Notification):
    """A notification to an audience, as the admin's form sends it and follows it."""

    class Meta:
        proxy = True
        verbose_name = _("broadcast")
        verbose_name_plural = _("broadcasts")
        default_permissions = ()


class Receipt(models.Model):
    """One person and one notification.

    Written when the notification is sent, for named people; for a shared stream only when the
    person acts on it. `seq` is its number in the stream where it lives, empty while pending.
    `read` is empty as long as the person's `Reader` decides (read is what is numbered up to
    `read_seq`); a click on this one notification makes it true or false.
    """

    person = models.ForeignKey(
        conf.user_model,
        on_delete=models.CASCADE,
        db_constraint=False,  # its row lock deadlocks callers who lock users
        db_index=False,
        related_name="+",
    )
    notification = models.ForeignKey(
        Notification, on_delete=models.CASCADE, db_index=False, related_name="receipts"
    )
    named = models.BooleanField(default=True)
    seq = models.BigIntegerField(null=True)
    created = models.DateTimeField(default=timezone.now)
    """The notification's, so that a page of the inbox is one range of one index."""
    seen = models.BooleanField(default=False)
    read = models.BooleanField(null=True)
    read_at = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["notification", "person"], name="receipt_notification_person"
            ),
        ]
        indexes = [
            models.Index(fields=["person", "named", "-created"], name="receipt_inbox"),
            models.Index(fields=["person", "read", "seq"], name="receipt_unread"),
            models.Index(
                fields=["person", "-created"],
                name="receipt_archived",
                condition=models.Q(archived_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person_id}/{self.notification_id}"


class Reader(models.Model):
    """One person and one stream: from which number on it is theirs, and how far they are.

    `from_seq <= read_seq <= seen_seq` always holds. Kept when the person leaves the audience,
    so that coming back shows it again.
    """

    person = models.ForeignKey(
        conf.user_model,
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    stream = models.CharField(max_length=100)
    from_seq = models.BigIntegerField(default=0)
    seen_seq = models.BigIntegerField(default=0)
    read_seq = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "stream"], name="reader_person_stream")
        ]

    def __str__(self) -> str:
        return f"{self.person_id} on {self.stream}"


def described(name: str, reference: str) -> dict[str, Any] | None:
    """An actor or target as clients see it, or None."""
    return {"name": name, "ref": reference} if reference else None
