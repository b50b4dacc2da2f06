"""What tests share: objects with one thing changed, pictures, doubles."""
