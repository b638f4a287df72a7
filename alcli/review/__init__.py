"""What later labels say about earlier models, and models about labels."""
