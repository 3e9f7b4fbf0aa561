"""The contract between controller and agent. The controller imports nothing else of the agent."""
