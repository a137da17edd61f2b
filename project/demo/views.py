from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from . import stage
from .forms import CommentForm, OrderForm
from .models import Order, Product
from .seed import LOGINS


@require_safe
def icon(request: HttpRequest) -> HttpResponse:
    """For pages that name no icon of their own, as the admin's."""
    return redirect(static("demo/icon.svg"))


@require_safe
def shop(request: HttpRequest) -> HttpResponse:
    context = {"products": Product.objects.all(), "payments": stage.payments()}
    if settings.DEBUG:
        host = stage.host_of(request)
        # Another host name is another session, so that one browser can hold both people.
        operator = stage.address(request, f"dana.{stage.HOST}", reverse("admin:index"))
        context |= {
            "logins": LOGINS,
            "operator": operator,
            "stage": stage.address(request, stage.HOST, reverse("stage")),
            "framed": host in stage.PEOPLE,
            "has_lab": request.user.is_authenticated,
        }
    return render(request, "demo/shop.html", context)


@require_POST
def place_order(request: HttpRequest) -> HttpResponse:
    if not request.user.is_authenticated:
        return redirect_to_login(reverse("shop"))
    form = OrderForm(request.POST)
    if not form.is_valid():
        return HttpResponseBadRequest(_("There is no such product."))
    product = form.cleaned_data["product"]
    order = Order.objects.create(buyer=request.user, items=product.name, total=product.price)
    said = _("Thank you. Your order has the number %(n)s.") % {"n": order.number}
    if request.accepts("text/html"):
        messages.success(request, said)
        return redirect("shop")
    return JsonResponse({"said": said, "url": order.get_absolute_url()}, status=201)


@require_safe
@login_required
def orders(request: HttpRequest) -> HttpResponse:
    return render(request, "demo/orders.html", {"orders": request.user.orders.all()})


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def order(request: HttpRequest, number: int) -> HttpResponse:
    order = get_object_or_404(Order.objects.visible_to(request.user), pk=number - 1000)
    form = CommentForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.instance.order, form.instance.author = order, request.user
        return redirect(form.save())
    comments = order.comments.select_related("author")
    return render(request, "demo/order.html", {"order": order, "comments": comments, "form": form})
