"""The load balancer in front of the hosts of a playbook."""
