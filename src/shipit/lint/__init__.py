"""What `shipit lint` warns about, besides the mistakes that stop a deploy."""
