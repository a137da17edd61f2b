from django.urls import path

from . import stage, views

urlpatterns = [
    path("", views.shop, name="shop"),
    path("favicon.ico", views.icon),
    path("orders/", views.orders, name="orders"),
    path("orders/place/", views.place_order, name="place-order"),
    path("status/", stage.status, name="status"),
    path("demo/", stage.stage, name="stage"),
    path("demo/enter/", stage.enter, name="enter"),
    path("demo/gateway/", stage.gateway, name="gateway"),
    path("demo/cut/", stage.cut, name="cut"),
    path("demo/write/", stage.write, name="write"),
    path("orders/<int:number>/", views.order, name="order"),
]
