"""Takes this host out of its load balancer, and puts it back."""
