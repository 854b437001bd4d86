"""A folder-watching plate reader that never loses a photo."""
