"""Files, processes, sockets and users of the machine. Decides nothing."""
