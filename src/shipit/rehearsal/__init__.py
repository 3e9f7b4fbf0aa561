"""Play a deploy through on disposable machines, break it there, and report how it went."""
