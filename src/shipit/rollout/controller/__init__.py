"""What a rollout runs and asks on the controller itself."""
