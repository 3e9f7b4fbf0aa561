"""What is sold; `note` came with a later release."""

from django.db import models


class Item(models.Model):  # type: ignore[misc] # Django is not installed here
    """Something that is sold."""

    name = models.CharField(max_length=100)
    note = models.CharField(max_length=100, default="", db_default="")

    def __str__(self) -> str:
        return str(self.name)
