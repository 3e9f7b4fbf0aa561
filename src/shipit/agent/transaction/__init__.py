"""Run a deploy or a rollback on one host: begin, carry out, recover."""
