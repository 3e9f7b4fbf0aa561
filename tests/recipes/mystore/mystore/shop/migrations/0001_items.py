"""The first release has items with a name."""

from django.db import migrations, models


class Migration(migrations.Migration):  # type: ignore[misc] # Django is not installed here
    """Create the table, with one item."""

    initial = True
    operations = (
        migrations.CreateModel(
            "Item",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("name", models.CharField(max_length=100)),
            ],
        ),
        migrations.RunSQL("INSERT INTO shop_item (name) VALUES ('pen')"),
    )
