"""A plain Django project for a recipe of docs/recipes.md; it needs no database."""
