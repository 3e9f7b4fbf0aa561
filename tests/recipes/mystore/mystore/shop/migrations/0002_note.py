"""The second one has a note of each: it expands the schema, and the first one ignores it."""

from django.db import migrations, models


class Migration(migrations.Migration):  # type: ignore[misc] # Django is not installed here
    """Add the column, with a default that the database knows."""

    dependencies = (("shop", "0001_items"),)
    operations = (
        migrations.AddField(
            "Item", "note", models.CharField(max_length=100, default="", db_default="")
        ),
    )
