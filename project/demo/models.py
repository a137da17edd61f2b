from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class Product(models.Model):
    class Picture(models.TextChoices):
        LAMP = "lamp", _("lamp")
        NOTEBOOK = "notebook", _("notebook")
        MUG = "mug", _("mug")
        PARCEL = "parcel", _("parcel")

    name = models.CharField(_("name"), max_length=80, unique=True)
    text = models.CharField(_("text"), max_length=200, blank=True)
    price = models.DecimalField(_("price"), max_digits=8, decimal_places=2)
    picture = models.CharField(
        _("picture"), max_length=10, choices=Picture.choices, default=Picture.PARCEL
    )

    class Meta:
        ordering = ["id"]
        verbose_name = _("product")
        verbose_name_plural = _("products")

    def __str__(self) -> str:
        return self.name


class OrderQuerySet(models.QuerySet["Order"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> "OrderQuerySet":
        """A shopper sees their own orders, the staff sees all."""
        return self if getattr(user, "is_staff", False) else self.filter(buyer_id=user.pk)


class Order(models.Model):
    class Status(models.TextChoices):
        RECEIVED = "received", _("received")
        PAID = "paid", _("paid")
        SHIPPED = "shipped", _("shipped")
        DELIVERED = "delivered", _("delivered")
        CANCELLED = "cancelled", _("cancelled")

    buyer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="orders", verbose_name=_("buyer")
    )
    items = models.CharField(_("items"), max_length=200, blank=True)
    total = models.DecimalField(_("total"), max_digits=8, decimal_places=2, default=0)
    status = models.CharField(
        _("status"), max_length=10, choices=Status.choices, default=Status.RECEIVED
    )
    created = models.DateTimeField(_("created"), auto_now_add=True)

    objects = OrderQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("order")
        verbose_name_plural = _("orders")

    def __str__(self) -> str:
        return gettext("Order %(n)s") % {"n": self.number}

    def get_absolute_url(self) -> str:
        return reverse("order", args=[self.number])

    @property
    def number(self) -> int:
        return 1000 + self.pk

    def people(self) -> set:
        """Everybody who has a part in this order: the buyer, and who wrote a comment."""
        return {self.buyer, *(comment.author for comment in self.comments.select_related("author"))}


class Comment(models.Model):
    order = models.ForeignKey(
        Order, models.CASCADE, related_name="comments", verbose_name=_("order")
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="order_comments",
        verbose_name=_("author"),
    )
    text = models.TextField(_("text"), max_length=2000)
    created = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("comment")
        verbose_name_plural = _("comments")

    def __str__(self) -> str:
        return f"{self.order}, {self.author}"

    def get_absolute_url(self) -> str:
        return f"{self.order.get_absolute_url()}#comment-{self.pk}"
