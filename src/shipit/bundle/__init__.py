"""Choose from a lock and a folder of wheels exactly what one release needs on one kind of host."""
