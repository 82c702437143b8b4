"""Which images, verified and split?"""
