"""Which networks are there, and what do they cost?"""
