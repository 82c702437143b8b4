"""How does a photo become an image?"""
