from django.urls import path

from . import views

urlpatterns = [
    path("", views.shop, name="shop"),
    path("favicon.ico", views.icon),
    path("orders/", views.orders, name="orders"),
    path("orders/place/", views.place_order, name="place-order"),
    path("orders/<int:number>/", views.order, name="order"),
]
