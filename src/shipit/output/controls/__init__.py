"""What is shown of operators' words: holds, pauses, and canaries that are promoted or aborted."""
