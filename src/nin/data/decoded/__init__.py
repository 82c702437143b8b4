"""How are the photos of a source decoded once, and kept?"""
