from django import forms

from .models import Comment, Product


class OrderForm(forms.Form):
    product = forms.ModelChoiceField(Product.objects.all())


class CommentForm(forms.ModelForm):
    class Meta:
        model = Comment
        fields = ["text"]
        widgets = {"text": forms.Textarea(attrs={"rows": 3})}
