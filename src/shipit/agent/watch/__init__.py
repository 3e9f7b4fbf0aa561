"""Watch a committed release: look at it, and report or roll back what fails."""
