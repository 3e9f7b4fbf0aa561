"""Switch units and sockets from one release to another, or try one out beside it."""
