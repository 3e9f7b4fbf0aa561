"""Which hosts are canaries, how long they are held, and what is made of their checks."""
