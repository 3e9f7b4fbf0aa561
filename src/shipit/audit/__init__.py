"""Known vulnerabilities of the packages in a bundle, or of what runs on hosts."""
