"""A project with the stock admin, and another of its own that has our pages too."""

from django.contrib import admin
from django.urls import path

from notifications.admin import register
from project.urls import urlpatterns as site

office = admin.AdminSite(name="office")
register(office)

urlpatterns = [path("office/", office.urls), *site]
