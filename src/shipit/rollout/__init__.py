"""Drive a fleet: connect, stage, switch batch by batch, commit or roll back."""
