from django.contrib import admin

from .models import Comment, Order, Product


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ["__str__", "buyer", "items", "total", "status", "created"]
    list_filter = ["status"]
    search_fields = ["buyer__username", "items"]
    autocomplete_fields = ["buyer"]


@admin.register(Comment)
class CommentAdmin(admin.ModelAdmin):
    list_display = ["order", "author", "text", "created"]
    list_select_related = ["order", "author"]
    search_fields = ["text", "author__username"]
    autocomplete_fields = ["order", "author"]


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ["name", "price"]
    search_fields = ["name"]
