"""Trees of directories that other users can change meanwhile: chowned, copied, linked."""
